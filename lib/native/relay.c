#include "relay.h"

#include <stdatomic.h>
#include <stdlib.h>

struct relay {
  atomic_uint holders;
  /* The rest is looked at with the lock alone. */
  pthread_mutex_t lock;
  struct work *first, *last;
  uint32_t last_ticket;
  int is_closed;
};

struct relay *make_relay(void) {
  struct relay *relay = calloc(1, sizeof *relay);
  if (relay == NULL) return NULL;
  pthread_mutex_init(&relay->lock, NULL);
  return hold_relay(relay);
}

struct relay *hold_relay(struct relay *relay) {
  atomic_fetch_add(&relay->holders, 1);
  return relay;
}

void let_go_of_relay(struct relay *relay) {
  if (relay == NULL || atomic_fetch_sub(&relay->holders, 1) > 1) return;
  pthread_mutex_destroy(&relay->lock);
  free(relay);
}

/* No two that stand by have the same one: there are not so many. */
static uint32_t next_ticket(struct relay *relay) {
  relay->last_ticket += 1;
  if (relay->last_ticket == 0) relay->last_ticket = 1;
  return relay->last_ticket;
}

uint32_t stand_by(struct relay *relay, struct heir *heir) {
  pthread_mutex_lock(&relay->lock);
  uint32_t ticket = heir->ticket = next_ticket(relay);
  heir->work.next = NULL;
  if (relay->first == NULL) relay->first = &heir->work;
  else relay->last->next = &heir->work;
  relay->last = &heir->work;
  pthread_mutex_unlock(&relay->lock);
  return ticket;
}

/* Takes away the one behind another, or the first. */
static struct heir *take_behind(struct relay *relay, struct work *former) {
  struct work **place = former == NULL ? &relay->first : &former->next;
  struct work *taken = *place;
  *place = taken->next;
  if (relay->last == taken) relay->last = former;
  return (struct heir *)taken;
}

struct heir *take_heir(struct relay *relay) {
  pthread_mutex_lock(&relay->lock);
  struct heir *heir = relay->is_closed || relay->first == NULL ? NULL : take_behind(relay, NULL);
  pthread_mutex_unlock(&relay->lock);
  return heir;
}

struct heir *withdraw_heir(struct relay *relay, uint32_t ticket) {
  struct heir *heir = NULL;
  struct work *former = NULL;
  pthread_mutex_lock(&relay->lock);
  for (struct work *work = relay->first; work != NULL && heir == NULL; former = work, work = work->next)
    if (((struct heir *)work)->ticket == ticket) heir = take_behind(relay, former);
  pthread_mutex_unlock(&relay->lock);
  return heir;
}

void close_relay(struct relay *relay) {
  pthread_mutex_lock(&relay->lock);
  relay->is_closed = 1;
  pthread_mutex_unlock(&relay->lock);
}
