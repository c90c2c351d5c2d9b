#define _GNU_SOURCE
#include "threads.h"

#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* All of a crew, and the count below, is looked at with the lock alone. */
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t all_is_done = PTHREAD_COND_INITIALIZER;
/* Of all crews: what is queued and what runs. */
static unsigned unfinished;
/* Whether the process ends: nothing that a thread gives is begun any more. */
static int is_ending;

/*
 * One at a time: whoever comes and finds more than he can take wakes the next. So the JavaScript thread wakes one
 * thread, however much there is to do, and none while the threads that run are quick enough.
 */
static void wake_one(struct crew *crew) {
  if (crew->is_one_coming || crew->idle == 0) return;
  crew->is_one_coming = 1;
  pthread_cond_signal(&crew->there_is_work);
}

static void put_at_the_end(struct crew *crew, struct work *work) {
  work->next = NULL;
  if (crew->first == NULL) crew->first = work;
  else crew->last->next = work;
  crew->last = work;
  crew->queued += 1;
  unfinished += 1;
}

static struct work *take(struct crew *crew) {
  while (crew->first == NULL) {
    pthread_cond_wait(&crew->there_is_work, &lock);
    crew->is_one_coming = 0;
  }
  struct work *work = crew->first;
  crew->first = work->next;
  crew->queued -= 1;
  crew->idle -= 1;
  if (crew->queued > 0) wake_one(crew);
  return work;
}

static void *serve(void *argument) {
  struct crew *crew = argument;
  if (crew->niceness != 0) setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), crew->niceness);
  pthread_mutex_lock(&lock);
  crew->is_one_coming = 0;
  for (;;) {
    struct work *work = take(crew);
    pthread_mutex_unlock(&lock);
    struct work *next = work->run(work);
    pthread_mutex_lock(&lock);
    crew->idle += 1;
    if (next != NULL && !is_ending) put_at_the_end(crew, next);
    unfinished -= 1;
    if (unfinished == 0) pthread_cond_broadcast(&all_is_done);
  }
  return NULL;
}

/* struct sched_attr of linux/sched/types.h, which the C library does not have. */
struct scheduling {
  uint32_t size, policy;
  uint64_t flags;
  int32_t niceness;
  uint32_t priority;
  uint64_t runtime, deadline, period;
};
/* The shortest turn that the scheduler gives, in nanoseconds; those of others are some milliseconds. */
#define SHORT_TURN 100000

void take_short_turns(void) {
  struct scheduling wanted = {
      .size = sizeof wanted, .policy = SCHED_OTHER, .niceness = getpriority(PRIO_PROCESS, 0), .runtime = SHORT_TURN};
  syscall(SYS_sched_setattr, 0, &wanted, 0);
}

int start_thread(pthread_t *thread, void *(*run)(void *), void *argument, const char *name) {
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  int result = pthread_create(thread, NULL, run, argument);
  pthread_sigmask(SIG_SETMASK, &former, NULL);
  if (result != 0) return 0;
  pthread_setname_np(*thread, name);
  return 1;
}

static int get_another(struct crew *crew) {
  pthread_t thread;
  if (crew->most > 0 && crew->threads == crew->most) return 0;
  if (!start_thread(&thread, serve, crew, crew->name)) return 0;
  pthread_detach(thread);
  crew->threads += 1;
  crew->idle += 1;
  return 1;
}

unsigned cores(void) {
  long found = sysconf(_SC_NPROCESSORS_ONLN);
  return found > 1 ? (unsigned)found : 1;
}

void await_all_work(void) {
  pthread_mutex_lock(&lock);
  while (unfinished > 0) pthread_cond_wait(&all_is_done, &lock);
  pthread_mutex_unlock(&lock);
}

static void end_all_work(void) {
  pthread_mutex_lock(&lock);
  is_ending = 1;
  pthread_mutex_unlock(&lock);
  await_all_work();
}

/* A library that is used while the process clears it away crashes; it was loaded before, so it is cleared away later. */
static void end_all_work_at_exit(void) {
  atexit(end_all_work);
}

static int run(struct crew *crew, struct work *work, int may_wait) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, end_all_work_at_exit);
  pthread_mutex_lock(&lock);
  int is_served = crew->queued < crew->idle || get_another(crew) || (may_wait && crew->threads > 0);
  if (is_served) {
    put_at_the_end(crew, work);
    wake_one(crew);
  }
  pthread_mutex_unlock(&lock);
  return is_served;
}

int run_on_thread(struct crew *crew, struct work *work) {
  return run(crew, work, 1);
}

int run_at_once(struct crew *crew, struct work *work) {
  return run(crew, work, 0);
}

int is_work_waiting(struct crew *crew) {
  pthread_mutex_lock(&lock);
  int is_waiting = crew->queued > 0;
  pthread_mutex_unlock(&lock);
  return is_waiting;
}
