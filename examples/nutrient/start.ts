import { messageOf } from "../../lib/errors.ts";
import { startExample } from "./example.ts";

/** `npm run example`. */
const { PORT = "8080", SERVICE_PORT = "3757" } = process.env;

try {
  const example = await startExample({ page: Number(PORT), service: Number(SERVICE_PORT) });
  for (const signal of ["SIGINT", "SIGTERM"] as const) {
    process.on(signal, () => void example.stop().then(() => process.exit(0)));
  }
  process.stdout.write(
    `\nThe Nutrient Web SDK: ${example.url}/\nIt signs through      ${example.service}/sign\n\nCtrl-C stops both.\n`,
  );
} catch (error) {
  process.stderr.write(`example: ${messageOf(error)} (PORT and SERVICE_PORT choose others.)\n`);
  process.exit(1);
}
