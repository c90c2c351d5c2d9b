/*
 * A PKCS#11 library over SoftHSM2 (SIM_MODULE) that refuses what AWS CloudHSM's Client SDK 5 refuses, with the
 * same return values. SoftHSM2 does the work; what is here are the rules. README.md beside this file says which,
 * and what the environment can change of them. What goes wrong by order is in faults.c.
 *
 * When two threads use one session at once, or one finalizes under the other, the process is aborted: CloudHSM
 * leaves the result of that undefined.
 */
#include "counters.h"
#include "faults.h"
#include "hash.h"
#include "memory.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define MAX_SESSIONS 1024
#define MAX_ATTRIBUTES 64
#define MAX_DIGEST 64
#define MAX_NAME 256
#define LENGTH(array) (sizeof(array) / sizeof(*(array)))

static CK_FUNCTION_LIST list;
static CK_FUNCTION_LIST_PTR real;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

/* ------------------------------------------------------------------------------------------------ switches */

/* Where the documentation gives no return value, or only people who were there do, the environment chooses it. */
enum code {
  CODE_LOCKING,
  CODE_SESSION_COUNT,
  CODE_PIN_FORM,
  CODE_USER_TYPE,
  CODE_UNSUPPORTED,
  CODE_VALUE,
  CODE_INCOMPLETE,
  CODE_KEY_SIZE,
  CODE_CURVE,
  CODE_MULTI_PART,
  CODE_NOT_LOGGED_IN,
  CODE_KEY_HANDLE,
  CODE_OPERATION_ACTIVE,
  CODE_NOT_BEGUN,
  CODE_AWAY,
  CODE_SESSION_LOST,
  CODE_REPLACED,
  CODES
};

static const struct {
  const char *variable;
  CK_RV standard;
} code_switches[CODES] = {
    [CODE_LOCKING] = {"SIM_CODE_LOCKING", CKR_CANT_LOCK},
    [CODE_SESSION_COUNT] = {"SIM_CODE_SESSION_COUNT", CKR_SESSION_COUNT},
    [CODE_PIN_FORM] = {"SIM_CODE_PIN_FORM", CKR_PIN_INCORRECT},
    [CODE_USER_TYPE] = {"SIM_CODE_USER_TYPE", CKR_USER_TYPE_INVALID},
    [CODE_UNSUPPORTED] = {"SIM_CODE_UNSUPPORTED", CKR_FUNCTION_NOT_SUPPORTED},
    [CODE_VALUE] = {"SIM_CODE_VALUE", CKR_ATTRIBUTE_VALUE_INVALID},
    [CODE_INCOMPLETE] = {"SIM_CODE_INCOMPLETE", CKR_TEMPLATE_INCOMPLETE},
    [CODE_KEY_SIZE] = {"SIM_CODE_KEY_SIZE", CKR_ATTRIBUTE_VALUE_INVALID},
    [CODE_CURVE] = {"SIM_CODE_CURVE", CKR_ATTRIBUTE_VALUE_INVALID},
    [CODE_MULTI_PART] = {"SIM_CODE_MULTI_PART", CKR_MECHANISM_INVALID},
    [CODE_NOT_LOGGED_IN] = {"SIM_CODE_NOT_LOGGED_IN", CKR_USER_NOT_LOGGED_IN},
    [CODE_KEY_HANDLE] = {"SIM_CODE_KEY_HANDLE", CKR_KEY_HANDLE_INVALID},
    [CODE_OPERATION_ACTIVE] = {"SIM_CODE_OPERATION_ACTIVE", CKR_OPERATION_ACTIVE},
    [CODE_NOT_BEGUN] = {"SIM_CODE_NOT_BEGUN", CKR_OPERATION_NOT_INITIALIZED},
    [CODE_AWAY] = {"SIM_CODE_AWAY", CKR_DEVICE_ERROR},
    [CODE_SESSION_LOST] = {"SIM_CODE_SESSION_LOST", CKR_SESSION_HANDLE_INVALID},
    [CODE_REPLACED] = {"SIM_CODE_REPLACED", CKR_FUNCTION_FAILED},
};

/* Read at C_Initialize, while there is one thread: getenv and setenv do not go together. */
static struct {
  CK_RV code[CODES];
  CK_SLOT_ID slot;
  char label[33];
  char user[64];
  unsigned long sessions, pin_tries;
  int checks_key_availability, answers_from_memory;
} settings;

static const char *text_setting(const char *name, const char *standard) {
  const char *text = getenv(name);
  return text == NULL || *text == '\0' ? standard : text;
}

static unsigned long number_setting(const char *name, unsigned long standard) {
  const char *text = text_setting(name, NULL);
  return text == NULL ? standard : strtoul(text, NULL, 0);
}

static int is_set(const char *name, const char *standard) {
  return strcmp(text_setting(name, standard), "true") == 0;
}

static void read_settings(void) {
  for (int i = 0; i < CODES; i++)
    settings.code[i] = number_setting(code_switches[i].variable, code_switches[i].standard);
  settings.slot = number_setting("SIM_SLOT_ID", 0x2000000000000001UL);
  snprintf(settings.label, sizeof settings.label, "%-32.32s", text_setting("SIM_LABEL", "hsm1"));
  snprintf(settings.user, sizeof settings.user, "%s", text_setting("SIM_USER", "signer"));
  settings.sessions = number_setting("SIM_SESSIONS", MAX_SESSIONS);
  if (settings.sessions > MAX_SESSIONS) settings.sessions = MAX_SESSIONS;
  settings.pin_tries = number_setting("SIM_PIN_TRIES", 3);
  settings.checks_key_availability = is_set("SIM_CHECK_KEY_AVAILABILITY", "true");
  settings.answers_from_memory = is_set("SIM_ANSWER_FROM_MEMORY", "false");
  set_cluster_request(F_C_SignInit, is_set("SIM_VALIDATE_KEY_AT_INIT", "true"));
}

/* ------------------------------------------------------------------------------------- sessions and handles */

enum operation { NO_OPERATION, SIGNING, VERIFYING };

struct session {
  CK_SESSION_HANDLE handle; /* 0: a free place */
  CK_SESSION_HANDLE real;
  enum function function; /* what runs on it */
  int is_busy;
  int is_lost;           /* with the cluster, while something ran on it */
  uint64_t replacements; /* of HSMs, when the call began */
  enum operation operation;
  int is_single_part; /* of the running operation */
  /* An operation that SoftHSM2 lacks: hash on this session, then CKM_ECDSA with the key. */
  CK_MECHANISM_TYPE digest;
  CK_OBJECT_HANDLE digest_key;
  CK_ULONG signature_length;
  /* An operation that may be answered from memory, and whether SoftHSM2 has not been told of it. */
  int is_remembered, is_deferred;
  struct way way;
};

static struct session sessions[MAX_SESSIONS];
static unsigned long sessions_open;
static int is_initialized, is_logged_in;
static CK_SLOT_ID real_slot;
/* Handles differ in every process, after every C_Initialize and, those of objects, after every login. */
static CK_ULONG session_base, object_base;
static CK_ULONG session_serial, lost_serial; /* the last handle, and the last one that the cluster took along */
static uint64_t disconnections, renewals;    /* what was seen of them */

#define SESSION_SPACE 0x0200000000000000UL
#define OBJECT_SPACE 0x0400000000000000UL
#define SPACE_SIZE 0x0000000100000000UL

static CK_ULONG random_base(CK_ULONG space) {
  CK_ULONG random = 0;
  if (getrandom(&random, sizeof random, 0) != sizeof random) abort();
  return space + random % (space / SPACE_SIZE) * SPACE_SIZE;
}

/* The handle that SoftHSM2 knows; 0, which is never one, for a handle that is not of this login. */
static CK_OBJECT_HANDLE real_object(CK_OBJECT_HANDLE handle) {
  CK_ULONG base = __atomic_load_n(&object_base, __ATOMIC_SEQ_CST);
  return handle - base < SPACE_SIZE ? handle - base : 0;
}

static void show_object(CK_OBJECT_HANDLE_PTR handle) {
  *handle += __atomic_load_n(&object_base, __ATOMIC_SEQ_CST);
}

static void misuse(const char *what, enum function function, enum function other) {
  fprintf(stderr, "cloudhsm simulator: %s (%s during %s)\n", what, counter_name(function), counter_name(other));
  abort();
}

static CK_RV count_call(enum function function) {
  add(function, 1);
  if (is_cluster_request(function)) add(CLUSTER_REQUESTS, 1);
  return is_initialized ? CKR_OK : CKR_CRYPTOKI_NOT_INITIALIZED;
}

/* With the lock held, as the next ones. */
static void free_session(struct session *session) {
  real->C_CloseSession(session->real);
  memset(session, 0, sizeof *session);
  sessions_open -= 1;
  if (sessions_open == 0) is_logged_in = 0;
}

/* The cluster went away: with it the login and every session, those that are in use as soon as they are not. */
static void lose_sessions(void) {
  int is_logged_out = 0;
  lost_serial = session_serial;
  is_logged_in = 0;
  for (int i = 0; i < MAX_SESSIONS; i++) {
    if (sessions[i].handle == 0) continue;
    if (!is_logged_out) real->C_Logout(sessions[i].real);
    is_logged_out = 1;
    sessions[i].is_lost = 1;
    if (!sessions[i].is_busy) free_session(&sessions[i]);
  }
}

/* Does here what was ordered to happen to the cluster. */
static void follow_events(void) {
  struct order *order = present_order();
  if (order->disconnections != disconnections) {
    disconnections = order->disconnections;
    lose_sessions();
  }
  if (order->renewals != renewals) {
    renewals = order->renewals;
    __atomic_store_n(&object_base, random_base(OBJECT_SPACE), __ATOMIC_SEQ_CST);
  }
}

/* Ends what runs on a session in SoftHSM2 too, which knows no way to cancel it: by a wrong use, or to the end. */
static void abandon(struct session *session) {
  CK_BYTE nothing = 0, scrap[1024];
  CK_ULONG length = sizeof scrap;
  enum operation operation = session->operation;
  session->operation = NO_OPERATION;
  if (operation == NO_OPERATION || session->is_deferred) {
    session->is_deferred = 0;
  } else if (session->digest != 0) {
    session->digest = 0;
    real->C_DigestFinal(session->real, scrap, &length);
  } else if (operation == SIGNING) {
    if (session->is_single_part) real->C_SignUpdate(session->real, &nothing, 1);
    else real->C_SignFinal(session->real, scrap, &length);
  } else {
    if (session->is_single_part) real->C_VerifyUpdate(session->real, &nothing, 1);
    else real->C_VerifyFinal(session->real, scrap, 1);
  }
}

/* Whether a call that fails ends the operation on its session (PKCS#11 v2.40 §5.11). */
static int is_of_operation(enum function function) {
  switch (function) {
    case F_C_SignInit:
    case F_C_Sign:
    case F_C_SignUpdate:
    case F_C_SignFinal:
    case F_C_VerifyInit:
    case F_C_Verify:
    case F_C_VerifyUpdate:
    case F_C_VerifyFinal:
      return 1;
    default:
      return 0;
  }
}

/* What the cluster did, and nobody got to know. */
static void forget_work(struct session *session, CK_RV done) {
  if (is_of_operation(session->function)) abandon(session);
  if (done == CKR_OK && session->function == F_C_FindObjectsInit) real->C_FindObjectsFinal(session->real);
  if (done == CKR_OK && session->function == F_C_Login && session->is_lost) {
    real->C_Logout(session->real);
    is_logged_in = 0;
  }
}

static int fails_without_cluster(enum function function) {
  return is_cluster_request(function) && is_away(present_order());
}

/* Begins a call that is not on a session: it is counted, and suffers what is ordered before anything is done. */
static CK_RV begin(enum function function) {
  CK_RV rv = count_call(function);
  if (rv != CKR_OK) return rv;
  rv = suffer(function);
  pthread_mutex_lock(&lock);
  follow_events();
  pthread_mutex_unlock(&lock);
  return rv == CKR_OK && fails_without_cluster(function) ? settings.code[CODE_AWAY] : rv;
}

static CK_RV leave(struct session *session, CK_RV rv) {
  pthread_mutex_lock(&lock);
  follow_events();
  if (is_cluster_request(session->function)) {
    CK_RV cut_off = CKR_OK;
    if (session->is_lost) cut_off = settings.code[CODE_AWAY];
    else if (session->replacements != present_order()->replacements) cut_off = settings.code[CODE_REPLACED];
    if (cut_off != CKR_OK) {
      forget_work(session, rv);
      rv = cut_off;
    }
  }
  session->is_busy = 0;
  if (session->is_lost) free_session(session);
  pthread_mutex_unlock(&lock);
  return rv;
}

/* The session of a handle, which is this thread's from now on; NULL when there is none. */
static struct session *occupy(CK_SESSION_HANDLE handle, enum function function) {
  struct session *session = NULL;
  pthread_mutex_lock(&lock);
  follow_events();
  for (int i = 0; i < MAX_SESSIONS && handle != 0 && session == NULL; i++) {
    if (sessions[i].handle != handle) continue;
    session = &sessions[i];
    if (session->is_busy) misuse("two threads use one session at once", function, session->function);
    session->is_busy = 1;
    session->function = function;
    session->replacements = present_order()->replacements;
  }
  pthread_mutex_unlock(&lock);
  return session;
}

/* Begins a call on a session, which is this thread's until `leave`. */
static CK_RV enter(CK_SESSION_HANDLE handle, enum function function, struct session **found) {
  CK_RV rv = count_call(function);
  if (rv != CKR_OK) return rv;
  struct session *session = occupy(handle, function);
  if (session != NULL) rv = suffer(function);
  if (rv == CKR_OK && fails_without_cluster(function)) rv = settings.code[CODE_AWAY];
  if (session == NULL) {
    if (rv != CKR_OK) return rv;
    return handle - session_base - 1 < lost_serial ? settings.code[CODE_SESSION_LOST] : CKR_SESSION_HANDLE_INVALID;
  }
  pthread_mutex_lock(&lock);
  follow_events();
  if (rv == CKR_OK && session->is_lost) rv = settings.code[CODE_SESSION_LOST];
  if (rv != CKR_OK && is_of_operation(function)) abandon(session);
  pthread_mutex_unlock(&lock);
  *found = session;
  return rv == CKR_OK ? CKR_OK : leave(session, rv);
}

static void forget_sessions(enum function function) {
  pthread_mutex_lock(&lock);
  for (int i = 0; i < MAX_SESSIONS; i++)
    if (sessions[i].is_busy) misuse("a session is taken away from another thread", function, sessions[i].function);
  memset(sessions, 0, sizeof sessions);
  sessions_open = 0;
  is_logged_in = 0;
  pthread_mutex_unlock(&lock);
}

/* ------------------------------------------------------------------------------- library, slot, token, login */

/* The one slot whose token is initialized; SoftHSM2 always shows an empty one besides. */
static CK_RV find_real_slot(void) {
  CK_SLOT_ID slots[64];
  CK_ULONG count = LENGTH(slots);
  CK_RV rv = real->C_GetSlotList(CK_TRUE, slots, &count);
  for (CK_ULONG i = 0; rv == CKR_OK && i < count; i++) {
    CK_TOKEN_INFO info;
    if (real->C_GetTokenInfo(slots[i], &info) != CKR_OK || !(info.flags & CKF_TOKEN_INITIALIZED)) continue;
    real_slot = slots[i];
    return CKR_OK;
  }
  return rv == CKR_OK ? CKR_TOKEN_NOT_PRESENT : rv;
}

static CK_RV sim_C_Initialize(CK_VOID_PTR arguments) {
  add(F_C_Initialize, 1);
  read_settings();
  CK_RV rv = suffer(F_C_Initialize);
  if (rv != CKR_OK) return rv;
  struct order *order = present_order();
  if (order->initialize_fails && is_away(order)) return settings.code[CODE_AWAY];
  CK_C_INITIALIZE_ARGS_PTR args = arguments;
  if ((args == NULL || !(args->flags & CKF_OS_LOCKING_OK)) && settings.code[CODE_LOCKING] != CKR_OK)
    return settings.code[CODE_LOCKING];
  rv = real->C_Initialize(arguments);
  if (rv != CKR_OK) return rv;
  rv = find_real_slot();
  if (rv != CKR_OK) {
    real->C_Finalize(NULL);
    return rv;
  }
  session_base = random_base(SESSION_SPACE);
  object_base = random_base(OBJECT_SPACE);
  disconnections = order->disconnections;
  renewals = order->renewals;
  is_initialized = 1;
  return CKR_OK;
}

static CK_RV sim_C_Finalize(CK_VOID_PTR reserved) {
  CK_RV rv = begin(F_C_Finalize);
  if (rv != CKR_OK) return rv;
  forget_sessions(F_C_Finalize);
  is_initialized = 0;
  return real->C_Finalize(reserved);
}

static void padded(CK_UTF8CHAR *field, size_t size, const char *text) {
  memset(field, ' ', size);
  memcpy(field, text, strnlen(text, size));
}

static CK_RV sim_C_GetInfo(CK_INFO_PTR info) {
  CK_RV rv = begin(F_C_GetInfo);
  if (rv == CKR_OK) rv = real->C_GetInfo(info);
  if (rv == CKR_OK) padded(info->libraryDescription, sizeof info->libraryDescription, "CloudHSM simulator");
  return rv;
}

static CK_RV begin_on_slot(enum function function, CK_SLOT_ID slot) {
  CK_RV rv = begin(function);
  return rv == CKR_OK && slot != settings.slot ? CKR_SLOT_ID_INVALID : rv;
}

static CK_RV sim_C_GetSlotList(CK_BBOOL token_present, CK_SLOT_ID_PTR slots, CK_ULONG_PTR count) {
  (void)token_present;
  CK_RV rv = begin(F_C_GetSlotList);
  if (rv != CKR_OK) return rv;
  if (count == NULL) return CKR_ARGUMENTS_BAD;
  CK_ULONG room = *count;
  *count = 1;
  if (slots == NULL) return CKR_OK;
  if (room < 1) return CKR_BUFFER_TOO_SMALL;
  slots[0] = settings.slot;
  return CKR_OK;
}

static CK_RV sim_C_GetSlotInfo(CK_SLOT_ID slot, CK_SLOT_INFO_PTR info) {
  CK_RV rv = begin_on_slot(F_C_GetSlotInfo, slot);
  return rv == CKR_OK ? real->C_GetSlotInfo(real_slot, info) : rv;
}

static CK_RV sim_C_GetTokenInfo(CK_SLOT_ID slot, CK_TOKEN_INFO_PTR info) {
  CK_RV rv = begin_on_slot(F_C_GetTokenInfo, slot);
  if (rv == CKR_OK) rv = real->C_GetTokenInfo(real_slot, info);
  if (rv != CKR_OK) return rv;
  padded(info->label, sizeof info->label, settings.label);
  info->ulMaxSessionCount = info->ulMaxRwSessionCount = settings.sessions;
  return CKR_OK;
}

static CK_RV sim_C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, CK_VOID_PTR application, CK_NOTIFY notify,
                               CK_SESSION_HANDLE_PTR handle) {
  CK_RV rv = begin_on_slot(F_C_OpenSession, slot);
  if (rv != CKR_OK) return rv;
  if (!(flags & CKF_RW_SESSION)) return CKR_FUNCTION_FAILED;
  if (is_session_refused()) return settings.code[CODE_SESSION_COUNT];
  pthread_mutex_lock(&lock);
  if (sessions_open >= settings.sessions) {
    rv = settings.code[CODE_SESSION_COUNT];
  } else {
    struct session *session = sessions;
    while (session->handle != 0) session++;
    memset(session, 0, sizeof *session);
    rv = real->C_OpenSession(real_slot, flags, application, notify, &session->real);
    if (rv == CKR_OK) {
      sessions_open += 1;
      *handle = session->handle = session_base + ++session_serial;
    }
  }
  pthread_mutex_unlock(&lock);
  return rv;
}

static CK_RV sim_C_CloseSession(CK_SESSION_HANDLE handle) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_CloseSession, &session);
  if (rv != CKR_OK) return rv;
  pthread_mutex_lock(&lock);
  free_session(session);
  pthread_mutex_unlock(&lock);
  return CKR_OK;
}

static CK_RV sim_C_CloseAllSessions(CK_SLOT_ID slot) {
  CK_RV rv = begin_on_slot(F_C_CloseAllSessions, slot);
  if (rv != CKR_OK) return rv;
  forget_sessions(F_C_CloseAllSessions);
  return real->C_CloseAllSessions(real_slot);
}

static CK_RV sim_C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO_PTR info) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_GetSessionInfo, &session);
  if (rv != CKR_OK) return rv;
  rv = real->C_GetSessionInfo(session->real, info);
  if (rv == CKR_OK) info->slotID = settings.slot;
  return leave(session, rv);
}

/* The user's password in a PIN; NULL when the PIN is no `user:password` at all. */
static CK_UTF8CHAR_PTR password_in(CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  CK_UTF8CHAR_PTR colon = pin == NULL ? NULL : memchr(pin, ':', length);
  return colon == NULL || colon == pin ? NULL : colon + 1;
}

/* The password is SoftHSM2's PIN, unless it was changed by order. */
static CK_RV try_password(struct session *session, CK_UTF8CHAR_PTR password, CK_ULONG length) {
  struct order *order = present_order();
  if (order->password[0] != '\0') {
    if (strlen(order->password) != length || memcmp(order->password, password, length) != 0) return CKR_PIN_INCORRECT;
    password = (CK_UTF8CHAR_PTR)order->former_password;
    length = strlen(order->former_password);
  }
  CK_RV rv = real->C_Login(session->real, CKU_USER, password, length);
  /* SoftHSM2 tells of a PIN that is too short to be one; CloudHSM does not look at passwords. */
  return rv == CKR_PIN_LEN_RANGE ? CKR_PIN_INCORRECT : rv;
}

static CK_RV log_in(struct session *session, CK_USER_TYPE type, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  if (type != CKU_USER) return settings.code[CODE_USER_TYPE];
  if (is_logged_in) return CKR_USER_ALREADY_LOGGED_IN;
  CK_UTF8CHAR_PTR password = password_in(pin, length);
  CK_RV rv = CKR_PIN_INCORRECT;
  if (password == NULL) {
    rv = settings.code[CODE_PIN_FORM];
  } else if (strlen(settings.user) == (size_t)(password - 1 - pin) &&
             memcmp(settings.user, pin, password - 1 - pin) == 0) {
    if (add(PINS_REFUSED_IN_A_ROW, 0) >= settings.pin_tries) return CKR_PIN_LOCKED;
    rv = try_password(session, password, length - (password - pin));
    if (rv == CKR_OK) {
      is_logged_in = 1;
      reset(PINS_REFUSED_IN_A_ROW);
      forget_all();
      __atomic_store_n(&object_base, random_base(OBJECT_SPACE), __ATOMIC_SEQ_CST);
      return CKR_OK;
    }
    add(PINS_REFUSED_IN_A_ROW, 1);
  }
  add(PINS_REFUSED, 1);
  return rv;
}

static CK_RV sim_C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE type, CK_UTF8CHAR_PTR pin, CK_ULONG length) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_Login, &session);
  return rv == CKR_OK ? leave(session, log_in(session, type, pin, length)) : rv;
}

static CK_RV sim_C_Logout(CK_SESSION_HANDLE handle) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_Logout, &session);
  if (rv != CKR_OK) return rv;
  if (!is_logged_in) return leave(session, settings.code[CODE_NOT_LOGGED_IN]);
  rv = real->C_Logout(session->real);
  if (rv == CKR_OK) is_logged_in = 0;
  return leave(session, rv);
}

/* ---------------------------------------------------------------------------------------------- mechanisms */

struct mechanism_rule {
  CK_MECHANISM_TYPE type;
  CK_ULONG smallest, largest; /* bits of a key; bytes for HMAC and AES */
  CK_FLAGS flags;
  int is_single_part;
  CK_MECHANISM_TYPE instead; /* of SoftHSM2, where it lacks this one; 0 is a mechanism */
  CK_MECHANISM_TYPE digest;  /* made beforehand, where SoftHSM2 does not */
};

#define SAME (~0UL)
#define PAIR (CKF_HW | CKF_GENERATE_KEY_PAIR)
#define SIGNS (CKF_SIGN | CKF_VERIFY)
#define CURVES (CKF_EC_F_P | CKF_EC_NAMEDCURVE | CKF_EC_UNCOMPRESS)

static const struct mechanism_rule mechanism_rules[] = {
    {CKM_RSA_PKCS_KEY_PAIR_GEN, 2048, 4096, PAIR, 0, SAME, 0},
    {CKM_RSA_X9_31_KEY_PAIR_GEN, 2048, 4096, PAIR, 0, CKM_RSA_PKCS_KEY_PAIR_GEN, 0},
    {CKM_EC_KEY_PAIR_GEN, 224, 521, PAIR | CURVES, 0, SAME, 0},
    {CKM_RSA_PKCS, 2048, 4096, CKF_HW | SIGNS, 1, SAME, 0},
    {CKM_RSA_PKCS_PSS, 2048, 4096, CKF_HW | SIGNS, 1, SAME, 0},
    {CKM_ECDSA, 224, 521, CKF_HW | SIGNS | CURVES, 1, SAME, 0},
    {CKM_SHA1_RSA_PKCS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA224_RSA_PKCS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA256_RSA_PKCS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA384_RSA_PKCS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA512_RSA_PKCS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA1_RSA_PKCS_PSS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA224_RSA_PKCS_PSS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA256_RSA_PKCS_PSS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA384_RSA_PKCS_PSS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_SHA512_RSA_PKCS_PSS, 2048, 4096, SIGNS, 0, SAME, 0},
    {CKM_ECDSA_SHA1, 224, 521, SIGNS | CURVES, 0, CKM_ECDSA, CKM_SHA_1},
    {CKM_ECDSA_SHA224, 224, 521, SIGNS | CURVES, 0, CKM_ECDSA, CKM_SHA224},
    {CKM_ECDSA_SHA256, 224, 521, SIGNS | CURVES, 0, CKM_ECDSA, CKM_SHA256},
    {CKM_ECDSA_SHA384, 224, 521, SIGNS | CURVES, 0, CKM_ECDSA, CKM_SHA384},
    {CKM_ECDSA_SHA512, 224, 521, SIGNS | CURVES, 0, CKM_ECDSA, CKM_SHA512},
    {CKM_SHA_1_HMAC, 16, 800, CKF_HW | SIGNS, 0, SAME, 0},
    {CKM_SHA224_HMAC, 28, 800, CKF_HW | SIGNS, 0, SAME, 0},
    {CKM_SHA256_HMAC, 32, 800, CKF_HW | SIGNS, 0, SAME, 0},
    {CKM_SHA384_HMAC, 48, 800, CKF_HW | SIGNS, 0, SAME, 0},
    {CKM_SHA512_HMAC, 64, 800, CKF_HW | SIGNS, 0, SAME, 0},
    {CKM_GENERIC_SECRET_KEY_GEN, 1, 800, CKF_HW | CKF_GENERATE, 0, SAME, 0},
    {CKM_AES_KEY_GEN, 16, 32, CKF_HW | CKF_GENERATE, 0, SAME, 0},
    {CKM_SHA_1, 0, 0, CKF_DIGEST, 0, SAME, 0},
    {CKM_SHA224, 0, 0, CKF_DIGEST, 0, SAME, 0},
    {CKM_SHA256, 0, 0, CKF_DIGEST, 0, SAME, 0},
    {CKM_SHA384, 0, 0, CKF_DIGEST, 0, SAME, 0},
    {CKM_SHA512, 0, 0, CKF_DIGEST, 0, SAME, 0},
};

static const struct mechanism_rule *mechanism_rule(CK_MECHANISM_TYPE type) {
  for (size_t i = 0; i < LENGTH(mechanism_rules); i++)
    if (mechanism_rules[i].type == type) return &mechanism_rules[i];
  return NULL;
}

/* SoftHSM2's mechanism for one that CloudHSM has for this use. */
static CK_RV translate(CK_MECHANISM_PTR mechanism, CK_FLAGS use, CK_MECHANISM *translated,
                       const struct mechanism_rule **rule) {
  if (mechanism == NULL) return CKR_ARGUMENTS_BAD;
  *rule = mechanism_rule(mechanism->mechanism);
  if (*rule == NULL || !((*rule)->flags & use)) return CKR_MECHANISM_INVALID;
  *translated = *mechanism;
  if ((*rule)->instead != SAME) translated->mechanism = (*rule)->instead;
  return CKR_OK;
}

static CK_RV sim_C_GetMechanismList(CK_SLOT_ID slot, CK_MECHANISM_TYPE_PTR types, CK_ULONG_PTR count) {
  CK_RV rv = begin_on_slot(F_C_GetMechanismList, slot);
  if (rv != CKR_OK) return rv;
  if (count == NULL) return CKR_ARGUMENTS_BAD;
  CK_ULONG room = *count;
  *count = LENGTH(mechanism_rules);
  if (types == NULL) return CKR_OK;
  if (room < LENGTH(mechanism_rules)) return CKR_BUFFER_TOO_SMALL;
  for (size_t i = 0; i < LENGTH(mechanism_rules); i++) types[i] = mechanism_rules[i].type;
  return CKR_OK;
}

static CK_RV sim_C_GetMechanismInfo(CK_SLOT_ID slot, CK_MECHANISM_TYPE type, CK_MECHANISM_INFO_PTR info) {
  CK_RV rv = begin_on_slot(F_C_GetMechanismInfo, slot);
  const struct mechanism_rule *rule = mechanism_rule(type);
  if (rv != CKR_OK) return rv;
  if (rule == NULL) return CKR_MECHANISM_INVALID;
  *info = (CK_MECHANISM_INFO){rule->smallest, rule->largest, rule->flags};
  return CKR_OK;
}

/* ---------------------------------------------------------------------------------------------- attributes */

enum kind { EC_PRIVATE, EC_PUBLIC, RSA_PRIVATE, RSA_PUBLIC, NO_HALF_OF_A_PAIR };
enum standard { NONE, FALSE_, TRUE_ };

/*
 * Everything about an attribute of a key pair; the four letters are for EC private, EC public, RSA private and
 * RSA public, as the columns of AWS's tables are.
 *
 * In a template: Y may be set, 1 to its standard value only, ! must be set, R read-only, - unsupported.
 * To C_GetAttributeValue: Y readable, - unsupported, S key material; f and c are readable, and SoftHSM2 does not
 * have them: false, and a check value.
 *
 * What a template does not say is told to SoftHSM2, whose own standard values are others.
 */
static const struct attribute_rule {
  CK_ATTRIBUTE_TYPE type;
  const char *template;
  const char *readable;
  enum standard standard;
} attribute_rules[] = {
    {CKA_CLASS, "YYYY", "YYYY", NONE},
    {CKA_KEY_TYPE, "YYYY", "YYYY", NONE},
    {CKA_LABEL, "YYYY", "YYYY", NONE},
    {CKA_ID, "YYYY", "YYYY", NONE},
    {CKA_LOCAL, "RRRR", "YYYY", NONE},
    {CKA_CHECK_VALUE, "RRRR", "cccc", NONE},
    {CKA_TOKEN, "YYYY", "YYYY", FALSE_},
    {CKA_PRIVATE, "1111", "YYYY", TRUE_},
    {CKA_ENCRYPT, "-Y-Y", "----", FALSE_},
    {CKA_WRAP, "-Y-Y", "----", FALSE_},
    {CKA_DECRYPT, "Y-Y-", "----", FALSE_},
    {CKA_UNWRAP, "Y-Y-", "----", FALSE_},
    {CKA_DERIVE, "Y1Y1", "YYYY", FALSE_},
    {CKA_MODIFIABLE, "YYYY", "YYYY", TRUE_},
    {CKA_DESTROYABLE, "YYYY", "YYYY", TRUE_},
    {CKA_SIGN, "Y-Y-", "Y-Y-", FALSE_},
    {CKA_VERIFY, "-Y-Y", "-Y-Y", FALSE_},
    {CKA_SENSITIVE, "1-1-", "Y-Y-", TRUE_},
    {CKA_EXTRACTABLE, "Y-Y-", "Y-Y-", TRUE_},
    {CKA_ALWAYS_SENSITIVE, "R-R-", "YfYf", NONE},
    {CKA_NEVER_EXTRACTABLE, "R-R-", "Y-Y-", NONE},
    {CKA_WRAP_TEMPLATE, "-Y-Y", "----", NONE},
    {CKA_TRUSTED, "-Y-Y", "----", NONE},
    {CKA_UNWRAP_TEMPLATE, "Y-Y-", "----", NONE},
    {CKA_WRAP_WITH_TRUSTED, "Y-Y-", "----", NONE},
    {CKA_MODULUS_BITS, "---!", "---Y", NONE},
    {CKA_PUBLIC_EXPONENT, "---!", "--YY", NONE},
    {CKA_MODULUS, "----", "--YY", NONE},
    {CKA_EC_PARAMS, "-!--", "YY--", NONE},
    {CKA_EC_POINT, "----", "-Y--", NONE},
    {CKA_VALUE, "----", "S---", NONE},
    {CKA_PRIVATE_EXPONENT, "----", "--S-", NONE},
    {CKA_PRIME_1, "----", "--S-", NONE},
    {CKA_PRIME_2, "----", "--S-", NONE},
    {CKA_EXPONENT_1, "----", "--S-", NONE},
    {CKA_EXPONENT_2, "----", "--S-", NONE},
    {CKA_COEFFICIENT, "----", "--S-", NONE},
};

static const struct curve {
  const char *name;
  CK_BYTE parameters[10]; /* DER of the OBJECT IDENTIFIER */
  CK_ULONG length;
  CK_ULONG coordinate_length;
} curves[] = {
    {"P-224", {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x21}, 7, 28},
    {"P-256", {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 10, 32},
    {"P-384", {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, 7, 48},
    {"P-521", {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x23}, 7, 66},
    {"secp256k1", {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a}, 7, 32},
};

static const struct attribute_rule *attribute_rule(CK_ATTRIBUTE_TYPE type) {
  for (size_t i = 0; i < LENGTH(attribute_rules); i++)
    if (attribute_rules[i].type == type) return &attribute_rules[i];
  return NULL;
}

static const struct curve *curve_of(const CK_ATTRIBUTE *parameters) {
  for (size_t i = 0; i < LENGTH(curves); i++)
    if (curves[i].length == parameters->ulValueLen &&
        memcmp(curves[i].parameters, parameters->pValue, curves[i].length) == 0)
      return &curves[i];
  return NULL;
}

/* Whether CloudHSM takes the value; what it is set to is SoftHSM2's affair. */
static CK_RV check_value(const struct attribute_rule *rule, char letter, const CK_ATTRIBUTE *attribute) {
  if (rule->standard != NONE) {
    if (attribute->pValue == NULL || attribute->ulValueLen != sizeof(CK_BBOOL)) return CKR_ATTRIBUTE_VALUE_INVALID;
    int is_true = *(CK_BBOOL *)attribute->pValue != CK_FALSE;
    return letter == '1' && is_true != (rule->standard == TRUE_) ? settings.code[CODE_VALUE] : CKR_OK;
  }
  if (rule->type == CKA_MODULUS_BITS) {
    CK_ULONG bits = 0;
    if (attribute->pValue == NULL || attribute->ulValueLen != sizeof bits) return CKR_ATTRIBUTE_VALUE_INVALID;
    memcpy(&bits, attribute->pValue, sizeof bits);
    return bits < 2048 || bits > 4096 || bits % 256 != 0 ? settings.code[CODE_KEY_SIZE] : CKR_OK;
  }
  if (rule->type == CKA_EC_PARAMS)
    return attribute->pValue == NULL || curve_of(attribute) == NULL ? settings.code[CODE_CURVE] : CKR_OK;
  return CKR_OK;
}

/* The template for SoftHSM2: the caller's, which must be one that CloudHSM takes, and the standard values. */
static CK_RV complete_template(enum kind kind, CK_ATTRIBUTE_PTR template, CK_ULONG count, CK_ATTRIBUTE *complete,
                               CK_ULONG *complete_count) {
  static CK_BBOOL no = CK_FALSE, yes = CK_TRUE;
  int is_set[LENGTH(attribute_rules)] = {0};
  if (count > MAX_ATTRIBUTES || (template == NULL && count > 0)) return CKR_ARGUMENTS_BAD;
  for (CK_ULONG i = 0; i < count; i++) {
    const struct attribute_rule *rule = attribute_rule(template[i].type);
    char letter = rule == NULL ? '-' : rule->template[kind];
    if (letter == '-') return CKR_TEMPLATE_INCONSISTENT;
    if (letter == 'R') return CKR_ATTRIBUTE_READ_ONLY;
    CK_RV rv = check_value(rule, letter, &template[i]);
    if (rv != CKR_OK) return rv;
    is_set[rule - attribute_rules] = 1;
    complete[i] = template[i];
  }
  *complete_count = count;
  for (size_t i = 0; i < LENGTH(attribute_rules); i++) {
    const struct attribute_rule *rule = &attribute_rules[i];
    char letter = rule->template[kind];
    if (is_set[i] || letter == '-' || letter == 'R') continue;
    if (letter == '!') return settings.code[CODE_INCOMPLETE];
    if (rule->standard != NONE)
      complete[(*complete_count)++] =
          (CK_ATTRIBUTE){rule->type, rule->standard == TRUE_ ? &yes : &no, sizeof(CK_BBOOL)};
  }
  return CKR_OK;
}

/* What a key is known by in every process: a hash of its CKA_ID and its CKA_LABEL. */
static uint64_t name_of_key(struct session *session, CK_OBJECT_HANDLE key) {
  CK_BYTE id[MAX_NAME], label[MAX_NAME];
  CK_ATTRIBUTE names[] = {{CKA_ID, id, sizeof id}, {CKA_LABEL, label, sizeof label}};
  if (real->C_GetAttributeValue(session->real, key, names, LENGTH(names)) != CKR_OK) return 0;
  return hash(hash(HASH_OF_NOTHING, id, names[0].ulValueLen), label, names[1].ulValueLen);
}

static int is_on_token(const CK_ATTRIBUTE *template, CK_ULONG count) {
  for (CK_ULONG i = 0; i < count; i++)
    if (template[i].type == CKA_TOKEN) return *(CK_BBOOL *)template[i].pValue != CK_FALSE;
  return 0;
}

static CK_RV generate_pair(struct session *session, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR public_template,
                           CK_ULONG public_count, CK_ATTRIBUTE_PTR private_template, CK_ULONG private_count,
                           CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key) {
  CK_MECHANISM translated;
  const struct mechanism_rule *rule;
  CK_ATTRIBUTE public_half[MAX_ATTRIBUTES + LENGTH(attribute_rules)];
  CK_ATTRIBUTE private_half[MAX_ATTRIBUTES + LENGTH(attribute_rules)];
  CK_RV rv = translate(mechanism, CKF_GENERATE_KEY_PAIR, &translated, &rule);
  if (rv != CKR_OK) return rv;
  int is_ec = translated.mechanism == CKM_EC_KEY_PAIR_GEN;
  rv = complete_template(is_ec ? EC_PUBLIC : RSA_PUBLIC, public_template, public_count, public_half, &public_count);
  if (rv == CKR_OK)
    rv = complete_template(is_ec ? EC_PRIVATE : RSA_PRIVATE, private_template, private_count, private_half,
                           &private_count);
  if (rv == CKR_OK)
    rv = real->C_GenerateKeyPair(session->real, &translated, public_half, public_count, private_half, private_count,
                                 public_key, private_key);
  if (rv != CKR_OK) return rv;
  if (is_on_token(private_half, private_count)) note_new_key(name_of_key(session, *private_key));
  show_object(public_key);
  show_object(private_key);
  return CKR_OK;
}

static CK_RV sim_C_GenerateKeyPair(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism,
                                   CK_ATTRIBUTE_PTR public_template, CK_ULONG public_count,
                                   CK_ATTRIBUTE_PTR private_template, CK_ULONG private_count,
                                   CK_OBJECT_HANDLE_PTR public_key, CK_OBJECT_HANDLE_PTR private_key) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_GenerateKeyPair, &session);
  if (rv != CKR_OK) return rv;
  return leave(session, generate_pair(session, mechanism, public_template, public_count, private_template,
                                      private_count, public_key, private_key));
}

static CK_RV kind_of(struct session *session, CK_OBJECT_HANDLE object, enum kind *kind) {
  CK_OBJECT_CLASS class = 0;
  CK_KEY_TYPE type = 0;
  CK_ATTRIBUTE template[] = {{CKA_CLASS, &class, sizeof class}, {CKA_KEY_TYPE, &type, sizeof type}};
  CK_RV rv = real->C_GetAttributeValue(session->real, object, template, 1);
  if (rv != CKR_OK) return rv;
  *kind = NO_HALF_OF_A_PAIR;
  if (class != CKO_PRIVATE_KEY && class != CKO_PUBLIC_KEY) return CKR_OK;
  rv = real->C_GetAttributeValue(session->real, object, template, 2);
  if (type == CKK_EC) *kind = class == CKO_PUBLIC_KEY ? EC_PUBLIC : EC_PRIVATE;
  if (type == CKK_RSA) *kind = class == CKO_PUBLIC_KEY ? RSA_PUBLIC : RSA_PRIVATE;
  return rv;
}

static CK_RV fill(CK_ATTRIBUTE *attribute, const void *value, CK_ULONG length) {
  CK_ULONG room = attribute->ulValueLen;
  attribute->ulValueLen = length;
  if (attribute->pValue == NULL) return CKR_OK;
  if (room < length) {
    attribute->ulValueLen = CK_UNAVAILABLE_INFORMATION;
    return CKR_BUFFER_TOO_SMALL;
  }
  memcpy(attribute->pValue, value, length);
  return CKR_OK;
}

static CK_RV read_attributes(struct session *session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template,
                             CK_ULONG count) {
  /* Of no key in particular: nothing here depends on it. */
  static const CK_BYTE check_value_bytes[3] = {0x51, 0x60, 0x11};
  static const CK_BBOOL no = CK_FALSE;
  CK_ATTRIBUTE known[MAX_ATTRIBUTES];
  CK_ULONG place[MAX_ATTRIBUTES], known_count = 0;
  enum kind kind;
  CK_RV rv = kind_of(session, object, &kind);
  if (rv != CKR_OK) return rv;
  if (kind == NO_HALF_OF_A_PAIR) return real->C_GetAttributeValue(session->real, object, template, count);
  if (template == NULL || count > MAX_ATTRIBUTES) return CKR_ARGUMENTS_BAD;

  CK_RV refusal = CKR_OK;
  for (CK_ULONG i = 0; i < count; i++) {
    const struct attribute_rule *rule = attribute_rule(template[i].type);
    char letter = rule == NULL ? '-' : rule->readable[kind];
    if (letter == 'f') {
      rv = fill(&template[i], &no, sizeof no);
    } else if (letter == 'c') {
      rv = fill(&template[i], check_value_bytes, sizeof check_value_bytes);
    } else if (letter == 'Y') {
      place[known_count] = i;
      known[known_count++] = template[i];
    } else {
      template[i].ulValueLen = CK_UNAVAILABLE_INFORMATION;
      rv = letter == 'S' ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
    }
    if (rv != CKR_OK) refusal = rv;
    rv = CKR_OK;
  }
  if (known_count > 0) rv = real->C_GetAttributeValue(session->real, object, known, known_count);
  for (CK_ULONG i = 0; i < known_count; i++) template[place[i]].ulValueLen = known[i].ulValueLen;
  return rv == CKR_OK ? refusal : rv;
}

static CK_RV sim_C_GetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template,
                                     CK_ULONG count) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_GetAttributeValue, &session);
  return rv == CKR_OK ? leave(session, read_attributes(session, real_object(object), template, count)) : rv;
}

/* Whether an object is a key of any kind: keys can neither be changed nor copied. */
static CK_RV refuse_keys(struct session *session, CK_OBJECT_HANDLE object) {
  CK_OBJECT_CLASS class = 0;
  CK_ATTRIBUTE template = {CKA_CLASS, &class, sizeof class};
  CK_RV rv = real->C_GetAttributeValue(session->real, object, &template, 1);
  if (rv != CKR_OK) return rv;
  int is_key = class == CKO_PRIVATE_KEY || class == CKO_PUBLIC_KEY || class == CKO_SECRET_KEY;
  return is_key ? settings.code[CODE_UNSUPPORTED] : CKR_OK;
}

static CK_RV sim_C_SetAttributeValue(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template,
                                     CK_ULONG count) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_SetAttributeValue, &session);
  if (rv != CKR_OK) return rv;
  rv = refuse_keys(session, real_object(object));
  if (rv == CKR_OK) rv = real->C_SetAttributeValue(session->real, real_object(object), template, count);
  return leave(session, rv);
}

static CK_RV sim_C_CopyObject(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_PTR template,
                              CK_ULONG count, CK_OBJECT_HANDLE_PTR copy) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_CopyObject, &session);
  if (rv != CKR_OK) return rv;
  rv = refuse_keys(session, real_object(object));
  if (rv == CKR_OK) rv = real->C_CopyObject(session->real, real_object(object), template, count, copy);
  if (rv == CKR_OK) show_object(copy);
  return leave(session, rv);
}

static CK_RV sim_C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE_PTR objects, CK_ULONG room,
                               CK_ULONG_PTR count) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_FindObjects, &session);
  if (rv != CKR_OK) return rv;
  rv = real->C_FindObjects(session->real, objects, room, count);
  for (CK_ULONG i = 0; rv == CKR_OK && i < *count; i++) show_object(&objects[i]);
  return leave(session, rv);
}

/* --------------------------------------------------------------------------------------- signing, verifying */

/* Begins CKM_ECDSA_SHA*: with what can be checked before there is a hash. */
static CK_RV begin_digest(struct session *session, CK_OBJECT_HANDLE key, CK_ATTRIBUTE_TYPE permission,
                          CK_MECHANISM_TYPE digest) {
  CK_BYTE parameters[16];
  CK_BBOOL is_permitted = CK_FALSE;
  CK_ATTRIBUTE template[] = {{CKA_EC_PARAMS, parameters, sizeof parameters},
                             {permission, &is_permitted, sizeof is_permitted}};
  CK_MECHANISM mechanism = {digest, NULL, 0};
  enum kind kind;
  CK_RV rv = kind_of(session, key, &kind);
  if (rv != CKR_OK) return CKR_KEY_HANDLE_INVALID;
  if (kind != (permission == CKA_SIGN ? EC_PRIVATE : EC_PUBLIC)) return CKR_KEY_TYPE_INCONSISTENT;
  rv = real->C_GetAttributeValue(session->real, key, template, LENGTH(template));
  const struct curve *curve = rv == CKR_OK ? curve_of(&template[0]) : NULL;
  if (curve == NULL) return CKR_KEY_TYPE_INCONSISTENT;
  if (!is_permitted) return CKR_KEY_FUNCTION_NOT_PERMITTED;
  rv = real->C_DigestInit(session->real, &mechanism);
  if (rv != CKR_OK) return rv;
  session->digest = digest;
  session->digest_key = key;
  session->signature_length = 2 * curve->coordinate_length;
  return CKR_OK;
}

/* What CloudHSM looks at before the mechanism and the key are. */
static CK_RV check_beginning(struct session *session, CK_OBJECT_HANDLE key, int signs) {
  if (session->operation != NO_OPERATION) {
    if (settings.code[CODE_OPERATION_ACTIVE] != CKR_OK) return settings.code[CODE_OPERATION_ACTIVE];
    abandon(session);
  }
  if (!is_logged_in) return settings.code[CODE_NOT_LOGGED_IN];
  if (real_object(key) == 0) return settings.code[CODE_KEY_HANDLE];
  int may_be_new = signs && settings.checks_key_availability && has_new_keys();
  return may_be_new && is_key_unavailable(name_of_key(session, real_object(key))) ? CKR_FUNCTION_FAILED : CKR_OK;
}

/* Begins in SoftHSM2; or here, where the answer may come from memory. */
static CK_RV begin_really(struct session *session, const struct mechanism_rule *rule, CK_MECHANISM *mechanism,
                          CK_OBJECT_HANDLE key, int signs) {
  session->is_deferred = session->is_remembered = 0;
  if (rule->digest != 0) return begin_digest(session, key, signs ? CKA_SIGN : CKA_VERIFY, rule->digest);
  if (!signs) return real->C_VerifyInit(session->real, mechanism, key);
  if (settings.answers_from_memory && rule->is_single_part)
    session->is_remembered = describe_way(&session->way, key, mechanism);
  session->is_deferred = session->is_remembered && is_known_way(&session->way);
  return session->is_deferred ? CKR_OK : real->C_SignInit(session->real, mechanism, key);
}

static CK_RV begin_operation(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key, int signs) {
  struct session *session;
  const struct mechanism_rule *rule;
  CK_MECHANISM translated;
  CK_RV rv = enter(handle, signs ? F_C_SignInit : F_C_VerifyInit, &session);
  if (rv != CKR_OK) return rv;
  rv = check_beginning(session, key, signs);
  if (rv == CKR_OK) rv = translate(mechanism, signs ? CKF_SIGN : CKF_VERIFY, &translated, &rule);
  if (rv == CKR_OK) {
    rv = begin_really(session, rule, &translated, real_object(key), signs);
    if (rv == CKR_OBJECT_HANDLE_INVALID) rv = settings.code[CODE_KEY_HANDLE];
  }
  if (rv == CKR_OK) {
    session->operation = signs ? SIGNING : VERIFYING;
    session->is_single_part = rule->is_single_part;
  }
  return leave(session, rv);
}

static CK_RV sim_C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  return begin_operation(handle, mechanism, key, 1);
}

static CK_RV sim_C_VerifyInit(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key) {
  return begin_operation(handle, mechanism, key, 0);
}

/* The hash, over data or, without any, over what C_SignUpdate or C_VerifyUpdate brought; ends the operation. */
static CK_RV end_digest(struct session *session, int has_data, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR hash,
                        CK_ULONG *hash_length) {
  session->digest = 0;
  return has_data ? real->C_Digest(session->real, data, length, hash, hash_length)
                  : real->C_DigestFinal(session->real, hash, hash_length);
}

static CK_RV sign_digest(struct session *session, int has_data, CK_BYTE_PTR data, CK_ULONG length,
                         CK_BYTE_PTR signature, CK_ULONG_PTR signature_length) {
  CK_BYTE hash[MAX_DIGEST];
  CK_ULONG hash_length = sizeof hash, room = *signature_length;
  CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
  *signature_length = session->signature_length;
  if (signature == NULL) return CKR_OK;
  if (room < session->signature_length) return CKR_BUFFER_TOO_SMALL;
  CK_RV rv = end_digest(session, has_data, data, length, hash, &hash_length);
  if (rv == CKR_OK) rv = real->C_SignInit(session->real, &mechanism, session->digest_key);
  if (rv == CKR_OK) rv = real->C_Sign(session->real, hash, hash_length, signature, signature_length);
  return rv;
}

static CK_RV verify_digest(struct session *session, int has_data, CK_BYTE_PTR data, CK_ULONG length,
                           CK_BYTE_PTR signature, CK_ULONG signature_length) {
  CK_BYTE hash[MAX_DIGEST];
  CK_ULONG hash_length = sizeof hash;
  CK_MECHANISM mechanism = {CKM_ECDSA, NULL, 0};
  CK_RV rv = end_digest(session, has_data, data, length, hash, &hash_length);
  if (rv == CKR_OK) rv = real->C_VerifyInit(session->real, &mechanism, session->digest_key);
  if (rv == CKR_OK) rv = real->C_Verify(session->real, hash, hash_length, signature, signature_length);
  return rv;
}

static CK_RV sign_remembered(struct session *session, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
                             CK_ULONG_PTR signature_length) {
  if (session->is_deferred) {
    if (signature != NULL && recall(&session->way, data, length, signature, signature_length)) return CKR_OK;
    CK_MECHANISM mechanism = mechanism_of(&session->way);
    CK_RV rv = real->C_SignInit(session->real, &mechanism, session->way.key);
    if (rv != CKR_OK) return rv;
    session->is_deferred = 0;
  }
  CK_RV rv = real->C_Sign(session->real, data, length, signature, signature_length);
  if (rv == CKR_OK && signature != NULL) keep(&session->way, data, length, signature, *signature_length);
  return rv;
}

/*
 * A call that belongs to no operation, which is an error or, where that is wanted, undefined: something that may
 * be taken for a signature.
 */
static CK_RV out_of_order(CK_BYTE_PTR signature, CK_ULONG_PTR length) {
  if (settings.code[CODE_NOT_BEGUN] == CKR_OK && signature != NULL &&
      getrandom(signature, *length, 0) != (ssize_t)*length)
    abort();
  return settings.code[CODE_NOT_BEGUN];
}

/* The end of a call that ends the operation, unless it told a length only. */
static CK_RV end_operation(struct session *session, CK_RV rv, CK_BYTE_PTR signature, CK_ULONG_PTR length) {
  if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && signature == NULL)) return leave(session, rv);
  session->operation = NO_OPERATION;
  if (rv == CKR_OK && is_to_be_wrong(session->function)) signature[*length / 2] ^= 1;
  return leave(session, rv);
}

static CK_RV sim_C_Sign(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
                        CK_ULONG_PTR signature_length) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_Sign, &session);
  if (rv != CKR_OK) return rv;
  if (session->operation != SIGNING) return leave(session, out_of_order(signature, signature_length));
  if (session->digest != 0)
    rv = sign_digest(session, 1, data, length, signature, signature_length);
  else if (session->is_remembered)
    rv = sign_remembered(session, data, length, signature, signature_length);
  else
    rv = real->C_Sign(session->real, data, length, signature, signature_length);
  return end_operation(session, rv, signature, signature_length);
}

static CK_RV sim_C_Verify(CK_SESSION_HANDLE handle, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR signature,
                          CK_ULONG signature_length) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_Verify, &session);
  if (rv != CKR_OK) return rv;
  if (session->operation != VERIFYING) return leave(session, out_of_order(NULL, NULL));
  session->operation = NO_OPERATION;
  rv = session->digest != 0 ? verify_digest(session, 1, data, length, signature, signature_length)
                            : real->C_Verify(session->real, data, length, signature, signature_length);
  return leave(session, rv);
}

/* Whether a part may be given to what runs on the session; a part too many ends it. */
static CK_RV check_part(struct session *session, enum operation operation) {
  if (session->operation != operation) return out_of_order(NULL, NULL);
  if (!session->is_single_part) return CKR_OK;
  abandon(session);
  return settings.code[CODE_MULTI_PART];
}

#define PART(name, operation)                                                            \
  static CK_RV sim_##name(CK_SESSION_HANDLE handle, CK_BYTE_PTR part, CK_ULONG length) { \
    struct session *session;                                                             \
    CK_RV rv = enter(handle, F_##name, &session);                                        \
    if (rv != CKR_OK) return rv;                                                         \
    rv = check_part(session, operation);                                                 \
    if (rv == CKR_OK)                                                                    \
      rv = session->digest != 0 ? real->C_DigestUpdate(session->real, part, length)      \
                                : real->name(session->real, part, length);               \
    return leave(session, rv);                                                           \
  }
PART(C_SignUpdate, SIGNING)
PART(C_VerifyUpdate, VERIFYING)

static CK_RV sim_C_SignFinal(CK_SESSION_HANDLE handle, CK_BYTE_PTR signature, CK_ULONG_PTR signature_length) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_SignFinal, &session);
  if (rv != CKR_OK) return rv;
  rv = check_part(session, SIGNING);
  if (rv != CKR_OK) return leave(session, rv);
  rv = session->digest != 0 ? sign_digest(session, 0, NULL, 0, signature, signature_length)
                            : real->C_SignFinal(session->real, signature, signature_length);
  return end_operation(session, rv, signature, signature_length);
}

static CK_RV sim_C_VerifyFinal(CK_SESSION_HANDLE handle, CK_BYTE_PTR signature, CK_ULONG signature_length) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_VerifyFinal, &session);
  if (rv != CKR_OK) return rv;
  rv = check_part(session, VERIFYING);
  if (rv != CKR_OK) return leave(session, rv);
  session->operation = NO_OPERATION;
  rv = session->digest != 0 ? verify_digest(session, 0, NULL, 0, signature, signature_length)
                            : real->C_VerifyFinal(session->real, signature, signature_length);
  return leave(session, rv);
}

/* ------------------------------------------------------------------- what is passed on, and what is refused */

#define UNPACK(...) __VA_ARGS__

/* Passed on with SoftHSM2's handle of the session. */
#define PASS(name, parameters, arguments)                            \
  static CK_RV sim_##name(CK_SESSION_HANDLE handle UNPACK parameters) { \
    struct session *session;                                         \
    CK_RV rv = enter(handle, F_##name, &session);                    \
    if (rv != CKR_OK) return rv;                                     \
    return leave(session, real->name(session->real UNPACK arguments)); \
  }

PASS(C_DestroyObject, (, CK_OBJECT_HANDLE object), (, real_object(object)))
PASS(C_FindObjectsInit, (, CK_ATTRIBUTE_PTR template, CK_ULONG count), (, template, count))
PASS(C_FindObjectsFinal, (), ())
PASS(C_Digest, (, CK_BYTE_PTR data, CK_ULONG length, CK_BYTE_PTR digest, CK_ULONG_PTR digest_length),
     (, data, length, digest, digest_length))
PASS(C_DigestUpdate, (, CK_BYTE_PTR part, CK_ULONG length), (, part, length))
PASS(C_DigestKey, (, CK_OBJECT_HANDLE key), (, real_object(key)))
PASS(C_DigestFinal, (, CK_BYTE_PTR digest, CK_ULONG_PTR length), (, digest, length))
PASS(C_GenerateRandom, (, CK_BYTE_PTR bytes, CK_ULONG length), (, bytes, length))

static CK_RV sim_C_CreateObject(CK_SESSION_HANDLE handle, CK_ATTRIBUTE_PTR template, CK_ULONG count,
                                CK_OBJECT_HANDLE_PTR object) {
  struct session *session;
  CK_RV rv = enter(handle, F_C_CreateObject, &session);
  if (rv != CKR_OK) return rv;
  rv = real->C_CreateObject(session->real, template, count, object);
  if (rv == CKR_OK) show_object(object);
  return leave(session, rv);
}

static CK_RV sim_C_DigestInit(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism) {
  struct session *session;
  const struct mechanism_rule *rule;
  CK_MECHANISM translated;
  CK_RV rv = enter(handle, F_C_DigestInit, &session);
  if (rv != CKR_OK) return rv;
  rv = translate(mechanism, CKF_DIGEST, &translated, &rule);
  return leave(session, rv == CKR_OK ? real->C_DigestInit(session->real, &translated) : rv);
}

static CK_RV sim_C_GenerateKey(CK_SESSION_HANDLE handle, CK_MECHANISM_PTR mechanism, CK_ATTRIBUTE_PTR template,
                               CK_ULONG count, CK_OBJECT_HANDLE_PTR key) {
  struct session *session;
  const struct mechanism_rule *rule;
  CK_MECHANISM translated;
  CK_RV rv = enter(handle, F_C_GenerateKey, &session);
  if (rv != CKR_OK) return rv;
  rv = translate(mechanism, CKF_GENERATE, &translated, &rule);
  if (rv == CKR_OK) rv = real->C_GenerateKey(session->real, &translated, template, count, key);
  if (rv == CKR_OK) show_object(key);
  return leave(session, rv);
}

/* Refused whatever the arguments are; they stand here because the function list is typed. */
#define REFUSE(name, code, parameters)  \
  static CK_RV sim_##name parameters {  \
    CK_RV rv = begin(F_##name);         \
    return rv == CKR_OK ? (code) : rv;  \
  }
#define UNSUPPORTED(name, parameters) REFUSE(name, settings.code[CODE_UNSUPPORTED], parameters)
/* CloudHSM has these, for mechanisms that the simulator does not: a service that signs needs none of them. */
#define NO_MECHANISM(name, parameters) REFUSE(name, CKR_MECHANISM_INVALID, parameters)
#define NOT_BEGUN(name, parameters) REFUSE(name, CKR_OPERATION_NOT_INITIALIZED, parameters)

#define H CK_SESSION_HANDLE h
#define IN CK_BYTE_PTR in, CK_ULONG in_length
#define OUT CK_BYTE_PTR out, CK_ULONG_PTR out_length
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wunused-parameter"
UNSUPPORTED(C_InitToken, (CK_SLOT_ID slot, CK_UTF8CHAR_PTR pin, CK_ULONG length, CK_UTF8CHAR_PTR label))
UNSUPPORTED(C_InitPIN, (H, CK_UTF8CHAR_PTR pin, CK_ULONG length))
UNSUPPORTED(C_SetPIN, (H, CK_UTF8CHAR_PTR old, CK_ULONG old_length, CK_UTF8CHAR_PTR new, CK_ULONG new_length))
UNSUPPORTED(C_GetOperationState, (H, OUT))
UNSUPPORTED(C_SetOperationState, (H, IN, CK_OBJECT_HANDLE encryption, CK_OBJECT_HANDLE authentication))
UNSUPPORTED(C_GetObjectSize, (H, CK_OBJECT_HANDLE object, CK_ULONG_PTR size))
UNSUPPORTED(C_SignRecoverInit, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key))
UNSUPPORTED(C_SignRecover, (H, IN, OUT))
UNSUPPORTED(C_VerifyRecoverInit, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key))
UNSUPPORTED(C_VerifyRecover, (H, IN, OUT))
UNSUPPORTED(C_DigestEncryptUpdate, (H, IN, OUT))
UNSUPPORTED(C_DecryptDigestUpdate, (H, IN, OUT))
UNSUPPORTED(C_SignEncryptUpdate, (H, IN, OUT))
UNSUPPORTED(C_DecryptVerifyUpdate, (H, IN, OUT))
UNSUPPORTED(C_SeedRandom, (H, IN))
UNSUPPORTED(C_WaitForSlotEvent, (CK_FLAGS flags, CK_SLOT_ID_PTR slot, CK_VOID_PTR reserved))
REFUSE(C_GetFunctionStatus, CKR_FUNCTION_NOT_PARALLEL, (H))
REFUSE(C_CancelFunction, CKR_FUNCTION_NOT_PARALLEL, (H))
NO_MECHANISM(C_EncryptInit, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key))
NO_MECHANISM(C_DecryptInit, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE key))
NO_MECHANISM(C_WrapKey, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE with, CK_OBJECT_HANDLE key, OUT))
NO_MECHANISM(C_UnwrapKey, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE with, IN, CK_ATTRIBUTE_PTR template,
                           CK_ULONG count, CK_OBJECT_HANDLE_PTR key))
NO_MECHANISM(C_DeriveKey, (H, CK_MECHANISM_PTR mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE_PTR template,
                           CK_ULONG count, CK_OBJECT_HANDLE_PTR key))
NOT_BEGUN(C_Encrypt, (H, IN, OUT))
NOT_BEGUN(C_EncryptUpdate, (H, IN, OUT))
NOT_BEGUN(C_EncryptFinal, (H, OUT))
NOT_BEGUN(C_Decrypt, (H, IN, OUT))
NOT_BEGUN(C_DecryptUpdate, (H, IN, OUT))
NOT_BEGUN(C_DecryptFinal, (H, OUT))
#pragma GCC diagnostic pop

static CK_RV sim_C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  *result = &list;
  return CKR_OK;
}

__attribute__((visibility("default"))) CK_RV C_GetFunctionList(CK_FUNCTION_LIST_PTR_PTR result) {
  if (real == NULL) {
    const char *path = getenv("SIM_MODULE");
    void *library = path == NULL ? NULL : dlopen(path, RTLD_NOW | RTLD_LOCAL);
    CK_C_GetFunctionList get = library == NULL ? NULL : (CK_C_GetFunctionList)dlsym(library, "C_GetFunctionList");
    if (get == NULL || get(&real) != CKR_OK || !open_counters() || !open_orders())
      return CKR_GENERAL_ERROR;
    list.version = real->version;
    /* Every one has its place here: with a function that is missing this does not compile. */
#define CK_PKCS11_FUNCTION_INFO(name) list.name = sim_##name;
#include "pkcs11f.h"
#undef CK_PKCS11_FUNCTION_INFO
  }
  return sim_C_GetFunctionList(result);
}
