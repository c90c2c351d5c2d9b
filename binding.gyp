{
  "targets": [
    {
      "target_name": "hsm_sign",
      "sources": [
        "lib/hsm/native/sign.c",
        "lib/hsm/native/library.c",
        "lib/hsm/native/threads.c",
        "lib/hsm/native/verify.c"
      ],
      "include_dirs": ["node_modules/pkcs11js/includes/pkcs11"],
      "cflags": ["-std=gnu11", "-Wall", "-Wextra", "-Wno-unused-parameter", "-O2", "-fvisibility=hidden", "-pthread"]
    }
  ]
}
