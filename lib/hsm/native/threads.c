#define _GNU_SOURCE
#include "threads.h"

#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdlib.h>

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t there_is_work = PTHREAD_COND_INITIALIZER;
static pthread_cond_t all_is_done = PTHREAD_COND_INITIALIZER;

/* All of what follows is looked at with the lock alone. */
static struct work *first, **end = &first;
static unsigned queued;
static unsigned running;
/* Threads that run nothing, those included that have not begun yet. */
static unsigned idle;
/* Whether one of them has been woken, or has not begun, and has not looked for work since. */
static int is_one_coming;

/*
 * One at a time: whoever comes and finds more than he can take wakes the next. So the JavaScript thread wakes one
 * thread, however much there is to do, and none while the threads that run are quick enough.
 */
static void wake_one(void) {
  if (is_one_coming || idle == 0) return;
  is_one_coming = 1;
  pthread_cond_signal(&there_is_work);
}

static struct work *take(void) {
  while (first == NULL) {
    pthread_cond_wait(&there_is_work, &lock);
    is_one_coming = 0;
  }
  struct work *work = first;
  first = work->next;
  if (first == NULL) end = &first;
  queued -= 1;
  idle -= 1;
  running += 1;
  if (queued > 0) wake_one();
  return work;
}

static void *serve(void *unused) {
  (void)unused;
  pthread_mutex_lock(&lock);
  is_one_coming = 0;
  for (;;) {
    struct work *work = take();
    pthread_mutex_unlock(&lock);
    work->run(work);
    pthread_mutex_lock(&lock);
    running -= 1;
    idle += 1;
    if (running + queued == 0) pthread_cond_broadcast(&all_is_done);
  }
  return NULL;
}

/* Signals are for the JavaScript thread. */
static int start_thread(void) {
  pthread_t thread;
  sigset_t all, former;
  sigfillset(&all);
  pthread_sigmask(SIG_SETMASK, &all, &former);
  int result = pthread_create(&thread, NULL, serve, NULL);
  pthread_sigmask(SIG_SETMASK, &former, NULL);
  if (result != 0) return 0;
  pthread_detach(thread);
  pthread_setname_np(thread, "hsm-sign");
  idle += 1;
  return 1;
}

void await_all_work(void) {
  pthread_mutex_lock(&lock);
  while (running + queued > 0) pthread_cond_wait(&all_is_done, &lock);
  pthread_mutex_unlock(&lock);
}

/* A library that is used while the process clears it away crashes; it was loaded before, so it is cleared away later. */
static void await_all_work_at_exit(void) {
  atexit(await_all_work);
}

int run_on_thread(struct work *work) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, await_all_work_at_exit);
  pthread_mutex_lock(&lock);
  int is_served = queued < idle || start_thread() || running + idle > 0;
  if (is_served) {
    work->next = NULL;
    *end = work;
    end = &work->next;
    queued += 1;
    wake_one();
  }
  pthread_mutex_unlock(&lock);
  return is_served;
}
