import { SERVICE } from "/settings.js";

/** All that an app does to sign through hsm-signer; the rest of this file shows it. */
const { hsmSigner } = await import(`${SERVICE}/client.js`);
const sign = (instance) => instance.signDocument(null, hsmSigner({ url: `${SERVICE}/sign` }));

const [button, download, status] = ["sign", "download", "status"].map((id) => document.getElementById(id));

const instance = await globalThis.NutrientViewer.load({
  container: "#viewer",
  document: "/sample.pdf",
  // Everything comes from node_modules, nothing from a content delivery network.
  baseUrl: `${location.origin}/sdk/`,
  // licenseKey: "…", as the vendor sold it to you; without one the SDK runs for evaluation.
  // Whom the viewer takes for known when it validates. A self-signed certificate is always a warning.
  trustedCAsCallback: async () => [await (await fetch(`${SERVICE}/certificate`)).arrayBuffer()],
});
status.textContent = "Ready.";
button.disabled = false;

button.addEventListener("click", async () => {
  button.disabled = true;
  status.textContent = "Signing …";
  try {
    await sign(instance);
    const { signatures } = await instance.getSignaturesInfo();
    status.textContent = `Signed. The viewer calls the signature "${signatures?.at(-1)?.signatureValidationStatus}".`;
    const file = new Blob([await instance.exportPDF()], { type: "application/pdf" });
    URL.revokeObjectURL(download.href);
    download.href = URL.createObjectURL(file);
    download.hidden = false;
  } catch (error) {
    // Of an HsmSignerError, the message is a sentence of the service.
    status.textContent = `Not signed. ${error.message}`;
  }
  button.disabled = false;
});
