/** What the guide's callback gets from the SDK, and gives it. */
export declare function generatePKCS7(
  url: string,
  given: { readonly hash: string; readonly fileContents: ArrayBuffer },
): Promise<ArrayBuffer>;
