/*
 * Says when a request is due: one byte to standard output, so many times a second, evenly. Timers of JavaScript are a
 * millisecond apart, and what is due meanwhile would be sent at once.
 *
 * pacer <first time on CLOCK_MONOTONIC, ns> <interval, ns> <number>
 */
#define _GNU_SOURCE
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#define SECOND 1000000000

int main(int count, char **words) {
  if (count != 4) return 2;
  int64_t due = strtoll(words[1], NULL, 10), interval = strtoll(words[2], NULL, 10), number = strtoll(words[3], NULL, 10);
  prctl(PR_SET_TIMERSLACK, 1);
  for (; number > 0; number -= 1, due += interval) {
    struct timespec time = {due / SECOND, due % SECOND};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &time, NULL) == EINTR) continue;
    if (write(STDOUT_FILENO, "", 1) != 1) return 1;
  }
  return 0;
}
