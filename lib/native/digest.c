#include "digest.h"

#include "threads.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of a document that are hashed where they come: what has no more is not worth a thread. */
#define AT_ONCE (128 * 1024)
/* Gathered before a thread is woken for them, which costs as much as some ten thousand bytes do. */
#define WORTH_WAKING (256 * 1024)
/* Hashed before others are looked after. */
#define SHARE (256 * 1024)
/* Queued at most, about, in one digest and in all of them. */
#define MUCH (1024 * 1024)
#define MUCH_IN_ALL (32 * 1024 * 1024)
#define BLOCK (64 * 1024)
/* Blocks that are kept for the next bytes. */
#define MAX_SPARE 32

struct block {
  struct block *next;
  size_t length;
  uint8_t bytes[BLOCK];
};

struct blocks {
  struct block *first, *last;
  size_t bytes;
};

struct digest {
  struct work work;
  atomic_uint holders;
  /* The JavaScript thread's; the threads' between `is_at_work` and its end. */
  EVP_MD_CTX *context;
  /* Of the document. */
  size_t seen;
  /* Not given to the threads yet. */
  struct blocks gathered;
  int has_ended;
  int is_awaited;

  /* With the lock. */
  pthread_mutex_t lock;
  struct blocks given;
  /* Given and not hashed. */
  size_t unhashed;
  int is_at_work;
  int has_failed;
  size_t at_most;
  /* NULL once it is over. */
  struct digest_wait *wait;
};

/* They stand back: signatures come first, and who sends them. */
static struct crew hashers = CREW("hsm-digest", 1, 15);
static atomic_size_t queued_in_all;

static pthread_mutex_t spare_lock = PTHREAD_MUTEX_INITIALIZER;
static struct block *spare;
static unsigned spare_count;

static struct block *get_block(void) {
  pthread_mutex_lock(&spare_lock);
  struct block *block = spare;
  if (block != NULL) {
    spare = block->next;
    spare_count -= 1;
  }
  pthread_mutex_unlock(&spare_lock);
  if (block == NULL) block = malloc(sizeof *block);
  if (block == NULL) return NULL;
  block->next = NULL;
  block->length = 0;
  return block;
}

static void free_block(struct block *block) {
  pthread_mutex_lock(&spare_lock);
  int is_kept = spare_count < MAX_SPARE;
  if (is_kept) {
    block->next = spare;
    spare = block;
    spare_count += 1;
  }
  pthread_mutex_unlock(&spare_lock);
  if (!is_kept) free(block);
}

static void free_blocks(struct blocks *blocks) {
  struct block *block = blocks->first;
  while (block != NULL) {
    struct block *next = block->next;
    free_block(block);
    block = next;
  }
  atomic_fetch_sub(&queued_in_all, blocks->bytes);
  *blocks = (struct blocks){0};
}

static void put_at_the_end(struct blocks *blocks, struct blocks more) {
  if (more.first == NULL) return;
  if (blocks->first == NULL) blocks->first = more.first;
  else blocks->last->next = more.first;
  blocks->last = more.last;
  blocks->bytes += more.bytes;
}

static struct blocks take_share(struct blocks *blocks) {
  struct blocks taken = {0};
  while (blocks->first != NULL && taken.bytes < SHARE) {
    struct block *block = blocks->first;
    blocks->first = block->next;
    blocks->bytes -= block->length;
    block->next = NULL;
    put_at_the_end(&taken, (struct blocks){block, block, block->length});
  }
  return taken;
}

static int gather(struct blocks *gathered, const uint8_t *bytes, size_t length) {
  while (length > 0) {
    struct block *last = gathered->first == NULL ? NULL : gathered->last;
    if (last == NULL || last->length == BLOCK) {
      last = get_block();
      if (last == NULL) return 0;
      put_at_the_end(gathered, (struct blocks){last, last, 0});
    }
    size_t room = BLOCK - last->length;
    size_t part = length < room ? length : room;
    memcpy(last->bytes + last->length, bytes, part);
    last->length += part;
    gathered->bytes += part;
    atomic_fetch_add(&queued_in_all, part);
    bytes += part;
    length -= part;
  }
  return 1;
}

static int hash(EVP_MD_CTX *context, const uint8_t *bytes, size_t length) {
  if (openssl.EVP_DigestUpdate(context, bytes, length) == 1) return 1;
  openssl.ERR_clear_error();
  return 0;
}

static int hash_blocks(EVP_MD_CTX *context, const struct blocks *blocks) {
  int is_good = 1;
  for (const struct block *block = blocks->first; block != NULL && is_good; block = block->next)
    is_good = hash(context, block->bytes, block->length);
  return is_good;
}

/* With the lock: who is to be told that he need not wait any more. */
static struct digest_wait *wait_that_is_over(struct digest *digest) {
  struct digest_wait *wait = digest->wait;
  if (wait == NULL || digest->unhashed > digest->at_most) return NULL;
  digest->wait = NULL;
  return wait;
}

/* One share; 0 when there is no more, and then the digest is the JavaScript thread's again. */
static int hash_share(struct digest *digest) {
  pthread_mutex_lock(&digest->lock);
  struct blocks taken = take_share(&digest->given);
  pthread_mutex_unlock(&digest->lock);
  size_t bytes = taken.bytes;
  int is_good = hash_blocks(digest->context, &taken);
  free_blocks(&taken);
  pthread_mutex_lock(&digest->lock);
  digest->unhashed -= bytes;
  if (!is_good) digest->has_failed = 1;
  int has_more = digest->given.first != NULL;
  if (!has_more) digest->is_at_work = 0;
  struct digest_wait *wait = wait_that_is_over(digest);
  pthread_mutex_unlock(&digest->lock);
  if (wait != NULL) wait->over(wait);
  return has_more;
}

/* Goes on as long as nobody else waits for a thread, and then stands in line again. */
static struct work *hash_on_thread(struct work *work) {
  struct digest *digest = (struct digest *)work;
  while (hash_share(digest))
    if (is_work_waiting(&hashers)) return work;
  let_go_of_digest(digest);
  return NULL;
}

/* Gives the threads what is gathered; where none can be had, it is hashed here. */
static void give(struct digest *digest) {
  struct blocks gathered = digest->gathered;
  digest->gathered = (struct blocks){0};
  if (gathered.first == NULL) return;
  pthread_mutex_lock(&digest->lock);
  put_at_the_end(&digest->given, gathered);
  digest->unhashed += gathered.bytes;
  int was_at_work = digest->is_at_work;
  digest->is_at_work = 1;
  pthread_mutex_unlock(&digest->lock);
  if (was_at_work) return;
  hold_digest(digest);
  if (!run_on_thread(&hashers, &digest->work)) hash_on_thread(&digest->work);
}

static void leave_one_core(void) {
  if (cores() > 2) hashers.most = cores() - 1;
}

struct digest *begin_digest(const char *hash) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, leave_one_core);
  if (!has_openssl()) return NULL;
  struct digest *digest = calloc(1, sizeof *digest);
  EVP_MD *algorithm = openssl.EVP_MD_fetch(NULL, hash, NULL);
  EVP_MD_CTX *context = openssl.EVP_MD_CTX_new();
  int is_ready = digest != NULL && algorithm != NULL && context != NULL &&
                 openssl.EVP_DigestInit_ex(context, algorithm, NULL) == 1;
  /* The context holds the algorithm itself. */
  openssl.EVP_MD_free(algorithm);
  if (!is_ready) {
    openssl.EVP_MD_CTX_free(context);
    openssl.ERR_clear_error();
    free(digest);
    return NULL;
  }
  digest->context = context;
  digest->work.run = hash_on_thread;
  pthread_mutex_init(&digest->lock, NULL);
  return hold_digest(digest);
}

struct digest *hold_digest(struct digest *digest) {
  atomic_fetch_add(&digest->holders, 1);
  return digest;
}

void let_go_of_digest(struct digest *digest) {
  if (atomic_fetch_sub(&digest->holders, 1) > 1) return;
  free_blocks(&digest->gathered);
  free_blocks(&digest->given);
  openssl.EVP_MD_CTX_free(digest->context);
  pthread_mutex_destroy(&digest->lock);
  free(digest);
}

static size_t queued(struct digest *digest) {
  pthread_mutex_lock(&digest->lock);
  size_t unhashed = digest->unhashed;
  pthread_mutex_unlock(&digest->lock);
  return unhashed + digest->gathered.bytes;
}

int update_digest(struct digest *digest, const uint8_t *bytes, size_t length, size_t *much) {
  *much = 0;
  if (digest->has_ended) return 0;
  if (length <= AT_ONCE - digest->seen) {
    digest->seen += length;
    return hash(digest->context, bytes, length) || (abandon_digest(digest), 0);
  }
  /* From now on in line, however little comes: the order is the document's. */
  digest->seen = AT_ONCE;
  if (!gather(&digest->gathered, bytes, length)) {
    abandon_digest(digest);
    return 0;
  }
  size_t in_line = queued(digest);
  if (in_line > MUCH || atomic_load(&queued_in_all) > MUCH_IN_ALL) *much = in_line;
  if (digest->gathered.bytes >= WORTH_WAKING) give(digest);
  return 1;
}

int await_digest(struct digest *digest, size_t at_most, struct digest_wait *wait) {
  if (digest->is_awaited) return 0;
  digest->is_awaited = 1;
  give(digest);
  pthread_mutex_lock(&digest->lock);
  digest->wait = wait;
  digest->at_most = at_most;
  struct digest_wait *over = wait_that_is_over(digest);
  pthread_mutex_unlock(&digest->lock);
  if (over != NULL) over->over(over);
  return 1;
}

void end_wait(struct digest *digest) {
  digest->is_awaited = 0;
}

int is_digest_queued(struct digest *digest) {
  pthread_mutex_lock(&digest->lock);
  int is_at_work = digest->is_at_work;
  pthread_mutex_unlock(&digest->lock);
  return is_at_work || digest->gathered.first != NULL;
}

int end_digest(struct digest *digest, uint8_t *target, unsigned *length) {
  if (digest->has_ended || is_digest_queued(digest) || digest->has_failed) return 0;
  digest->has_ended = 1;
  if (openssl.EVP_DigestFinal_ex(digest->context, target, length) == 1) return 1;
  openssl.ERR_clear_error();
  return 0;
}

void abandon_digest(struct digest *digest) {
  digest->has_ended = 1;
  free_blocks(&digest->gathered);
  pthread_mutex_lock(&digest->lock);
  struct blocks given = digest->given;
  digest->given = (struct blocks){0};
  digest->unhashed -= given.bytes;
  pthread_mutex_unlock(&digest->lock);
  free_blocks(&given);
}
