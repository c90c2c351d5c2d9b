/*
 * Threads for work that waits for somebody else: as many as there ever was such work at once.
 *
 * libuv's pool is of a fixed size, serves files too, and wakes a thread for each piece of work from the JavaScript
 * thread, which on a busy machine costs that thread its core.
 */
#ifndef HSM_SIGNER_THREADS_H
#define HSM_SIGNER_THREADS_H

/** The first member of whatever is to be done. */
struct work {
  struct work *next;
  void (*run)(struct work *work);
};

/** Runs it on a thread, soon; 0 where there is no thread and none can be had. */
int run_on_thread(struct work *work);

/** Returns when nothing is being done and nothing waits for it. */
void await_all_work(void);

#endif
