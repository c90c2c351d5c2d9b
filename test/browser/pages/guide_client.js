/**
 * A client as the vendor's guide has it, which apps were built after: everything in base64 in JSON, `hash` beside it,
 * a query that only the guide's own server knows, no look at the status, and `fromCharCode.apply`, which ends above
 * some 120 kB. Only the address is handed in.
 */
export async function generatePKCS7(url, { hash, fileContents }) {
  const encodedContents = btoa(String.fromCharCode.apply(null, new Uint8Array(fileContents)));
  const response = await fetch(`${url}/sign?mode=ca`, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ hash, encodedContents }),
  });
  const { p7 } = await response.json();
  const binary = atob(p7);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes.buffer;
}
