{
  "targets": [
    {
      "target_name": "hsm_sign",
      "sources": [
        "lib/native/addon.c",
        "lib/native/digest.c",
        "lib/native/hash.c",
        "lib/native/library.c",
        "lib/native/office.c",
        "lib/native/openssl.c",
        "lib/native/relay.c",
        "lib/native/sign.c",
        "lib/native/threads.c",
        "lib/native/verify.c"
      ],
      "include_dirs": ["node_modules/pkcs11js/includes/pkcs11"],
      "cflags": ["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-O2", "-fvisibility=hidden", "-pthread"]
    }
  ]
}
