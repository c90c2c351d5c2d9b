/*
 * Threads for work that the JavaScript thread is not to wait for, in crews.
 *
 * libuv's pool is of a fixed size, serves files too, and wakes a thread for each piece of work from the JavaScript
 * thread, which on a busy machine costs that thread its core.
 */
#ifndef HSM_SIGNER_THREADS_H
#define HSM_SIGNER_THREADS_H

#include <pthread.h>

/** The first member of whatever is to be done. */
struct work {
  struct work *next;
  /**
   * Gives what has to be done at once because of it, or NULL: it comes behind what waits already, and nobody is woken
   * for it, since the thread that gives it takes one piece more. Left undone when the process ends.
   */
  struct work *(*run)(struct work *work);
};

/** Threads that are alike, and what waits for them. Lasts as long as the process. */
struct crew {
  /** What the system calls them. */
  const char *name;
  /** Threads at most; 0: as many as there ever was work at once. */
  unsigned most;
  /** How far they stand back where cores are short (setpriority(2)). */
  int niceness;

  /* The rest is of threads.c. */
  pthread_cond_t there_is_work;
  struct work *first, *last;
  unsigned queued;
  unsigned threads;
  /* Those that run nothing, those included that have not begun yet. */
  unsigned idle;
  /* Whether one of them has been woken, or has not begun, and has not looked for work since. */
  int is_one_coming;
};

#define CREW(crew_name, crew_most, crew_niceness) \
  {.name = (crew_name), .most = (crew_most), .niceness = (crew_niceness), .there_is_work = PTHREAD_COND_INITIALIZER}

/** Runs it on a thread, soon; 0 where there is no thread and none can be had. */
int run_on_thread(struct crew *crew, struct work *work);

/** The same; but 0, too, where all threads that the crew may have are at work. */
int run_at_once(struct crew *crew, struct work *work);

/** Has a thread of its own run something; signals are for the JavaScript thread. 0 where none can be had. */
int start_thread(pthread_t *thread, void *(*run)(void *), void *argument, const char *name);

/** How many threads can run at once. */
unsigned cores(void);

/** Whether something waits for a thread of the crew. */
int is_work_waiting(struct crew *crew);

/**
 * Has the thread that calls this take its turns soon and shortly, where the system's scheduler does such a thing (Linux
 * 6.12 and later); elsewhere it changes nothing. For the JavaScript thread, which everybody waits for.
 */
void take_short_turns(void);

/** Returns when nothing is being done and nothing waits for it, by any crew. */
void await_all_work(void);

#endif
