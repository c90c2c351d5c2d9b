#include "faults.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000UL
/* Between looks of a hanging call for its release. */
#define HANG_STEP (2 * SECOND / 1000)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static struct order none;
static struct order *present = &none;
static char *path;

static uint64_t time_of(clockid_t clock) {
  struct timespec time;
  clock_gettime(clock, &time);
  return time.tv_sec * SECOND + time.tv_nsec;
}

static uint64_t now(void) {
  return time_of(CLOCK_MONOTONIC);
}

/* To the point: a thread's sleep may be longer by its slack, which is 50 µs where nothing is said (prctl(2)). */
static void sleep_until(uint64_t end) {
  prctl(PR_SET_TIMERSLACK, 1UL, 0, 0, 0);
  struct timespec time = {end / SECOND, end % SECOND};
  while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) continue;
}

/* Orders are few: none is unmapped, since another thread may be reading it. */
static struct order *map_order(void) {
  struct stat facts;
  int file = open(path, O_RDWR | O_CLOEXEC);
  if (file < 0) return NULL;
  struct order *order = MAP_FAILED;
  if (fstat(file, &facts) == 0 && facts.st_size == sizeof *order)
    order = mmap(NULL, sizeof *order, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return order == MAP_FAILED ? NULL : order;
}

int open_orders(void) {
  const char *name = getenv("SIM_CONTROL");
  if (name == NULL || *name == '\0') return 1;
  path = strdup(name);
  struct order *order = map_order();
  if (order != NULL) present = order;
  return order != NULL;
}

struct order *present_order(void) {
  struct order *order = __atomic_load_n(&present, __ATOMIC_ACQUIRE);
  if (!__atomic_load_n(&order->is_superseded, __ATOMIC_ACQUIRE)) return order;
  pthread_mutex_lock(&lock);
  while (__atomic_load_n(&present->is_superseded, __ATOMIC_ACQUIRE)) {
    order = map_order();
    /* What is not there any more gives no orders: the test that made it is over. */
    __atomic_store_n(&present, order == NULL ? &none : order, __ATOMIC_RELEASE);
  }
  order = present;
  pthread_mutex_unlock(&lock);
  return order;
}

/* Takes one of what remains; below 0 there is no end to it. */
static int take(int64_t *remaining) {
  int64_t left = __atomic_load_n(remaining, __ATOMIC_SEQ_CST);
  while (left > 0 &&
         !__atomic_compare_exchange_n(remaining, &left, left - 1, 0, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST))
    continue;
  return left != 0;
}

static int is_drawn(uint64_t probability) {
  uint32_t lot = 0;
  if (getrandom(&lot, sizeof lot, 0) != sizeof lot) abort();
  return lot < probability;
}

/* Whether a fault befalls this call; the call uses it up then. */
static int befalls(struct fault *fault, enum function function, enum effect effect) {
  if (fault->effect != effect) return 0;
  int is_meant = strcmp(fault->function, counter_name(function)) == 0 ||
                 (is_cluster_request(function) && strcmp(fault->function, counter_name(CLUSTER_REQUESTS)) == 0);
  return is_meant && is_drawn(fault->probability) && take(&fault->remaining);
}

static void hang(uint64_t releases) {
  add(CALLS_HUNG, 1);
  while (present_order()->releases == releases) sleep_until(now() + HANG_STEP);
}

CK_RV suffer(enum function function) {
  struct order *order = present_order();
  uint64_t releases = order->releases, end = 0;
  CK_RV rv = CKR_OK;
  int hangs = 0;
  /* All that befalls a call is settled when it begins: an order that comes meanwhile is for the calls after it. */
  for (uint64_t i = 0; i < order->fault_count; i++) {
    struct fault *fault = &order->faults[i];
    if (befalls(fault, function, LATENCY)) end = (end == 0 ? now() : end) + fault->value * 1000;
    if (!hangs && befalls(fault, function, HANG)) hangs = 1;
    if (rv == CKR_OK && befalls(fault, function, RETURN)) rv = fault->value;
  }
  if (end != 0) sleep_until(end);
  if (hangs) hang(releases);
  if (rv != CKR_OK) add(CALLS_FAILED, 1);
  return rv;
}

int is_to_be_wrong(enum function function) {
  struct order *order = present_order();
  for (uint64_t i = 0; i < order->fault_count; i++)
    if (befalls(&order->faults[i], function, WRONG_SIGNATURE)) {
      add(WRONG_SIGNATURES, 1);
      return 1;
    }
  return 0;
}

int is_away(const struct order *order) {
  return order->away_until != 0 && time_of(CLOCK_REALTIME) < order->away_until;
}

int is_session_refused(void) {
  return take(&present_order()->sessions_refused);
}

/* ------------------------------------------------------------------------------------------------- new keys */

void note_new_key(uint64_t name) {
  struct order *order = present_order();
  if (order->quorum_delay == 0 && order->quorum_refusals == 0) return;
  uint64_t place = __atomic_fetch_add(&order->new_key_count, 1, __ATOMIC_SEQ_CST);
  if (place >= MAX_NEW_KEYS) abort();
  struct new_key *key = &order->new_keys[place];
  key->usable_at = now() + order->quorum_delay;
  key->refusals = order->quorum_refusals;
  /* Last: other processes may be looking. */
  __atomic_store_n(&key->name, name, __ATOMIC_RELEASE);
}

int is_key_unavailable(uint64_t name) {
  struct order *order = present_order();
  uint64_t count = __atomic_load_n(&order->new_key_count, __ATOMIC_ACQUIRE);
  for (uint64_t i = 0; i < count && i < MAX_NEW_KEYS; i++) {
    struct new_key *key = &order->new_keys[i];
    if (__atomic_load_n(&key->name, __ATOMIC_ACQUIRE) != name) continue;
    if (now() < key->usable_at || take(&key->refusals)) return 1;
  }
  return 0;
}

int has_new_keys(void) {
  return __atomic_load_n(&present_order()->new_key_count, __ATOMIC_ACQUIRE) != 0;
}
