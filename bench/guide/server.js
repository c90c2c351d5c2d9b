import express from "express";
import graphene from "graphene-pk11";
import forge from "node-forge";

/**
 * The guide's way, written from its description: an Express server that for each request initializes the library,
 * opens a session, logs in, takes the first private key that it finds, has node-forge build the CMS with a signer
 * that is the token, logs out and finalizes, all of it synchronously. Its weaknesses are its own.
 *
 * It is told what to use by the environment, and tells where it listens, and its certificate, in one message.
 */

const { HSM_MODULE: modulePath, HSM_PIN: pin } = process.env;
/** DER of DigestInfo up to the digest (RFC 8017 §9.2, note 1). */
const SHA256_DIGEST_INFO = Buffer.from("3031300d060960864801650304020105000420", "hex");

const library = graphene.Module.load(modulePath);

/** Runs `work` with a session of its own. */
function withSession(work) {
  library.initialize();
  try {
    const slot = library.getSlots(0, true);
    const session = slot.open(graphene.SessionFlag.SERIAL_SESSION | graphene.SessionFlag.RW_SESSION);
    session.login(pin);
    try {
      return work(session);
    } finally {
      session.logout();
      session.close();
    }
  } finally {
    library.finalize();
  }
}

function firstObject(session, type) {
  return session.find({ class: type }).items(0);
}

/** What node-forge takes for a private key. */
function signerOn(session) {
  const key = firstObject(session, graphene.ObjectClass.PRIVATE_KEY).toType();
  return {
    sign: (digest) => {
      const info = Buffer.concat([SHA256_DIGEST_INFO, Buffer.from(digest.digest().getBytes(), "latin1")]);
      return session.createSign("RSA_PKCS", key).once(info).toString("latin1");
    },
  };
}

function selfSignedCertificate() {
  return withSession((session) => {
    const { modulus, publicExponent } = firstObject(session, graphene.ObjectClass.PUBLIC_KEY).getAttribute({
      modulus: null,
      publicExponent: null,
    });
    const number = (bytes) => new forge.jsbn.BigInteger(bytes.toString("hex"), 16);
    const certificate = forge.pki.createCertificate();
    certificate.publicKey = forge.pki.setRsaPublicKey(number(modulus), number(publicExponent));
    certificate.serialNumber = "01";
    certificate.validity.notBefore = new Date();
    certificate.validity.notAfter = new Date(Date.now() + 365 * 86_400_000);
    const name = [{ name: "commonName", value: "The guide's way" }];
    certificate.setSubject(name);
    certificate.setIssuer(name);
    certificate.setExtensions([{ name: "basicConstraints", cA: true }]);
    certificate.sign(signerOn(session), forge.md.sha256.create());
    return certificate;
  });
}

function signedData(contents, certificate) {
  return withSession((session) => {
    const container = forge.pkcs7.createSignedData();
    container.content = forge.util.createBuffer(contents.toString("latin1"));
    container.addCertificate(certificate);
    container.addSigner({
      key: signerOn(session),
      certificate,
      digestAlgorithm: forge.pki.oids.sha256,
      authenticatedAttributes: [
        { type: forge.pki.oids.contentType, value: forge.pki.oids.data },
        { type: forge.pki.oids.messageDigest },
        { type: forge.pki.oids.signingTime, value: new Date() },
      ],
    });
    container.sign({ detached: true });
    return Buffer.from(forge.asn1.toDer(container.toAsn1()).getBytes(), "latin1");
  });
}

const certificate = selfSignedCertificate();
const app = express();
app.use(express.json());
app.post("/sign", (request, response) => {
  const contents = Buffer.from(request.body.encodedContents, "base64");
  response.json({ p7: signedData(contents, certificate).toString("base64") });
});
const server = app.listen(0, "127.0.0.1", () => {
  process.send({ port: server.address().port, certificatePem: forge.pki.certificateToPem(certificate) });
});
