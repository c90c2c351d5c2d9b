/* What the addon gives to JavaScript: addon.ts. */
#include "node.h"
#include "office.h"
#include "openssl.h"
#include "threads.h"

/* release(bytes): gives their memory back, where it is theirs alone; they have none afterwards. */
static napi_value release(napi_env env, napi_callback_info info) {
  napi_value argument, memory;
  size_t count = 1, length, offset, whole;
  if (napi_get_cb_info(env, info, &count, &argument, NULL, NULL) != napi_ok || count != 1 ||
      napi_get_typedarray_info(env, argument, NULL, &length, NULL, &memory, &offset) != napi_ok)
    return fail(env, "release takes bytes");
  if (napi_get_arraybuffer_info(env, memory, NULL, &whole) == napi_ok && length == whole)
    napi_detach_arraybuffer(env, memory);
  return NULL;
}

NAPI_MODULE_INIT() {
  napi_value has;
  take_short_turns();
  if (!open_office(env) || !export_signing(env, exports) || !export_hashing(env, exports) ||
      napi_get_boolean(env, has_openssl(), &has) != napi_ok)
    return NULL;
  napi_property_descriptor properties[] = {
      {"hasOpenssl", NULL, NULL, NULL, NULL, has, napi_enumerable, NULL},
      {"release", NULL, release, NULL, NULL, NULL, napi_enumerable, NULL},
  };
  if (napi_define_properties(env, exports, sizeof properties / sizeof *properties, properties) != napi_ok) return NULL;
  return exports;
}
