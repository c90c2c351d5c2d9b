// @peculiar/x509 keeps its algorithms in a container that needs the Reflect metadata API, and leaves it to
// its user to bring it.
import "reflect-metadata";

export * from "@peculiar/x509";
