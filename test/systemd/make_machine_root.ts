import { makeMachineRoot } from "./machine_root.ts";

makeMachineRoot();
