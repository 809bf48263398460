/* The worker thread: a tick every 2 ms, or 1 ms while much comes, takes commands, packets, prompts and recordings in turn;
 * asleep while empty.
 */
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#define COMMANDS 65536
#define EVENTS 65536
#define ENDS 49152 /* of them for what is told once of each: 32768 endpoints, 8192 playbacks, 8192 recordings */
#define SWEEP_NS (SECOND_NS / 10)
#define STOOD_NS (SECOND_NS / 5) /* without a tick */
#define MOST_BEHIND_NS (5 * SECOND_NS) /* what the buffers of sockets hold */
#define BUSY_PACKETS 40 /* in 2 ms: ticks come twice as often */

int64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

void slots_add(struct slots *slots, uint32_t slot, uint32_t *listed)
{
    *listed = slots->count;
    slots->slot[slots->count++] = slot;
}

uint32_t slots_remove(struct slots *slots, uint32_t listed)
{
    return slots->slot[listed] = slots->slot[--slots->count];
}

/* Events */

/* A flood of keys that nobody reads must not cost the end of anything: its slot and port would never come back. */
static bool event_has_room(struct worker *worker, enum event_type type)
{
    bool once = type == EVENT_CLOSED || type == EVENT_PLAYED || type == EVENT_TRUNCATED;
    uint32_t used = atomic_load_explicit(&worker->events.tail, memory_order_relaxed)
                    - atomic_load_explicit(&worker->events.head, memory_order_acquire);
    return once || used < EVENTS - ENDS;
}

struct event *worker_event(struct worker *worker, enum event_type type, uint32_t handle)
{
    struct event *event = event_has_room(worker, type) ? ring_reserve(&worker->events) : NULL;
    if (!event) {
        worker->totals.events_lost++;
        return NULL;
    }
    event->type = type;
    event->handle = handle;
    return event;
}

void worker_event_done(struct worker *worker)
{
    ring_commit(&worker->events);
    worker->totals.events++;
    worker->told = true;
}

static void worker_tell_totals(struct worker *worker)
{
    struct event *event = worker_event(worker, EVENT_TOTALS, 0);
    if (!event)
        return;
    event->totals = worker->totals;
    event->totals.endpoints = worker->open.count;
    event->totals.playbacks = worker->playing.count;
    event->totals.recordings = worker->recording.count;
    event->totals.kernel_streams = worker->kernel.active;
    worker_event_done(worker);
}

/* Commands */

static void command_close(struct worker *worker, const struct command *command)
{
    struct endpoint *endpoint = endpoint_of(worker, command->handle);
    if (endpoint)
        endpoint_close(worker, endpoint);
}

static void command_configure(struct worker *worker, const struct command *command)
{
    struct endpoint *endpoint = endpoint_of(worker, command->handle);
    if (endpoint) {
        endpoint_configure(worker, endpoint, &command->remote);
        return;
    }
    srtp_context_free(command->remote.srtp_in);
    srtp_context_free(command->remote.srtp_out);
}

static void command_connect(struct worker *worker, const struct command *command)
{
    struct endpoint *a = endpoint_of(worker, command->handle);
    struct endpoint *b = endpoint_of(worker, command->connect.other);
    if (a && b && a != b)
        endpoint_connect(worker, a, b, command->connect.digits);
}

static void command_disconnect(struct worker *worker, const struct command *command)
{
    struct endpoint *a = endpoint_of(worker, command->handle);
    struct endpoint *b = endpoint_of(worker, command->connect.other);
    if (a && b && (a == b || a->peer == b->slot)) /* from itself: from whomever it has */
        endpoint_disconnect(worker, a);
}

static void worker_obey(struct worker *worker, const struct command *command)
{
    switch (command->type) {
    case COMMAND_OPEN: endpoint_open(worker, command); break;
    case COMMAND_CONFIGURE: command_configure(worker, command); break;
    case COMMAND_CONNECT: command_connect(worker, command); break;
    case COMMAND_DISCONNECT: command_disconnect(worker, command); break;
    case COMMAND_PLAY: playback_start(worker, command); break;
    case COMMAND_STOP_PLAY: playback_stop(worker, command->handle); break;
    case COMMAND_RECORD: recording_start(worker, command); break;
    case COMMAND_FILE: recording_file(worker, command); break;
    case COMMAND_VOICES: recording_voices(worker, command->handle); break;
    case COMMAND_CLOSE_RECORDING: recording_close(worker, command); break;
    case COMMAND_CLOSE: command_close(worker, command); break;
    case COMMAND_SHUT_DOWN:
        worker->stop_by = command->stop_by;
        worker->stopping = true;
        break;
    }
}

static void worker_obey_all(struct worker *worker)
{
    const struct command *command;
    while ((command = ring_peek(&worker->commands))) {
        worker_obey(worker, command);
        ring_pop(&worker->commands);
    }
}

/* Called by the one commanding thread; false: the ring is full. */
bool worker_command(struct worker *worker, const struct command *command)
{
    struct command *place = ring_reserve(&worker->commands);
    if (!place)
        return false;
    *place = *command;
    place->at = clock_ns();
    ring_commit(&worker->commands);
    if (atomic_load(&worker->asleep))
        eventfd_write(worker->wake_fd, 1);
    return true;
}

/* By how much it is behind its ticks, in ns; of one that sleeps, nothing. */
int64_t worker_lag_ns(struct worker *worker)
{
    int64_t lag = clock_ns() - atomic_load(&worker->ticked_at);
    return atomic_load(&worker->asleep) ? 0 : lag;
}

/* The loop */

/* Nothing will change until the next command: what is told now stays true. */
static void worker_tell_last_totals(struct worker *worker)
{
    if (!worker->next_totals)
        return;
    worker->next_totals = 0;
    worker_tell_totals(worker);
    eventfd_write(worker->event_fd, 1);
    worker->told = false;
}

static void worker_sleep(struct worker *worker)
{
    if (worker->open.count || worker->recording.count) {
        io_wait(worker->io, worker->next_tick);
        return;
    }
    worker_tell_last_totals(worker);
    atomic_store(&worker->asleep, true);
    if (!ring_peek(&worker->commands))
        io_wait(worker->io, -1);
    worker->now = clock_ns();
    atomic_store(&worker->ticked_at, worker->now);
    atomic_store(&worker->asleep, false);
}

static void worker_sweep(struct worker *worker)
{
    if (worker->now < worker->next_sweep)
        return;
    worker->next_sweep = worker->now + SWEEP_NS;
    kernel_relay_sweep(worker);
    for (uint32_t i = 0; i < worker->open.count; i++)
        endpoint_sweep(worker, &worker->endpoints[worker->open.slot[i]]);
    if (worker->now < worker->next_totals)
        return;
    worker->next_totals = worker->now + SECOND_NS;
    worker_tell_totals(worker);
}

/* A wake-up costs as much as a packet or two: where many come, a second one is little for what each of them waits less. */
static void worker_receive(struct worker *worker)
{
    uint64_t before = worker->totals.packets_in;
    io_receive(worker->io, worker);
    worker->received_at = clock_ns();
    worker->hurried = worker->totals.packets_in - before >= (worker->hurried ? BUSY_PACKETS / 2 : BUSY_PACKETS);
}

/* What lies in the sockets then came at any time since; they are read within as long again, at most: a tick that takes long
 * over it (much to decode) is part of the same stall. What such a one has read may have come later than it says.
 */
static void worker_set_clock(struct worker *worker, int64_t now)
{
    int64_t stood = now - worker->now;
    if (stood > STOOD_NS) {
        int64_t caught_up_at = now + (stood < MOST_BEHIND_NS ? stood : MOST_BEHIND_NS);
        if (worker->now >= worker->caught_up_at)
            worker->stood_from = worker->now;
        worker->timely_by = worker->received_at - worker->now > FRAME_NS ? worker->now : now;
        worker->woke_at = now;
        if (caught_up_at > worker->caught_up_at)
            worker->caught_up_at = caught_up_at;
    }
    worker->now = now;
}

static void worker_tick(struct worker *worker)
{
    int64_t tick = worker->hurried ? TICK_NS / 2 : TICK_NS;
    worker_set_clock(worker, clock_ns());
    atomic_store_explicit(&worker->ticked_at, worker->now, memory_order_relaxed);
    if (worker->next_tick <= worker->now) /* else it was woken early */
        worker->next_tick += tick;
    if (worker->next_tick <= worker->now)
        worker->next_tick = worker->now + tick;
    worker_obey_all(worker);
    worker_receive(worker);
    kernel_relay_drain(worker);
    telephone_event_tick(worker);
    playback_tick(worker);
    recording_tick(worker);
    worker_sweep(worker);
    if (worker->told)
        eventfd_write(worker->event_fd, 1);
    worker->told = false;
}

static void worker_close_all(struct worker *worker)
{
    while (worker->open.count)
        endpoint_close(worker, &worker->endpoints[worker->open.slot[0]]);
    recording_give_up_files(worker);
    while (worker->recording.count && clock_ns() < worker->stop_by) {
        recording_tick(worker);
        worker->now += FRAME_NS;
        usleep(1000);
    }
}

static void *worker_run(void *argument)
{
    struct worker *worker = argument;
    while (!worker->stopping) {
        worker_sleep(worker);
        worker_tick(worker);
    }
    worker_close_all(worker);
    return NULL;
}

/* Life */

static bool worker_pools(struct worker *worker)
{
    worker->endpoints = calloc(worker->capacity, sizeof *worker->endpoints);
    worker->playbacks = calloc(MAX_PLAYBACKS, sizeof *worker->playbacks);
    worker->recordings = calloc(MAX_RECORDINGS, sizeof *worker->recordings);
    worker->dtmf = calloc(worker->capacity, sizeof *worker->dtmf);
    worker->coders = calloc(worker->capacity, coder_size());
    worker->open.slot = calloc(worker->capacity, sizeof(uint32_t));
    worker->keys.slot = calloc(worker->capacity, sizeof(uint32_t));
    worker->playing.slot = calloc(MAX_PLAYBACKS, sizeof(uint32_t));
    worker->recording.slot = calloc(MAX_RECORDINGS, sizeof(uint32_t));
    return worker->endpoints && worker->playbacks && worker->recordings && worker->dtmf && worker->coders && worker->open.slot
           && worker->keys.slot && worker->playing.slot && worker->recording.slot
           && ring_create(&worker->commands, COMMANDS, sizeof(struct command))
           && ring_create(&worker->events, EVENTS, sizeof(struct event));
}

/* As far as it was made; no thread runs any more. */
static void worker_free(struct worker *worker)
{
    if (worker->io)
        io_destroy(worker->io);
    if (worker->wake_fd >= 0)
        close(worker->wake_fd);
    ring_destroy(&worker->commands);
    ring_destroy(&worker->events);
    free(worker->endpoints);
    free(worker->playbacks);
    free(worker->recordings);
    free(worker->dtmf);
    free(worker->coders);
    free(worker->open.slot);
    free(worker->keys.slot);
    free(worker->playing.slot);
    free(worker->recording.slot);
}

bool worker_start(struct worker *worker, uint32_t capacity, int64_t silence_ns, int64_t packet_ns, int event_fd,
                  const char *io)
{
    worker->capacity = capacity;
    worker->silence_ns = silence_ns;
    worker->packet_ns = packet_ns;
    worker->event_fd = event_fd;
    worker->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (worker->wake_fd >= 0 && worker_pools(worker) && (worker->io = io_create(capacity, worker->wake_fd, io))
        && writer_start(&worker->writer, event_fd)) {
        if (pthread_create(&worker->thread, NULL, worker_run, worker) == 0)
            return true;
        writer_stop(&worker->writer, INT64_MAX);
    }
    worker_free(worker);
    return false;
}

/* RTP comes before whatever else wants the processor; false where we may not say so (CAP_SYS_NICE). */
bool worker_take_precedence(struct worker *worker)
{
    struct sched_param parameters = {.sched_priority = 1};
    return pthread_setschedparam(worker->thread, SCHED_RR, &parameters) == 0;
}

/* Ends both threads; open recordings are completed on disk. Waits, `patience` nanoseconds for a disk that stands still:
 * call it without the GIL. False: recordings are left as they were, and `worker` with the writer's thread must stay.
 */
bool worker_stop(struct worker *worker, int64_t patience)
{
    struct command command = {.type = COMMAND_SHUT_DOWN, .stop_by = clock_ns() + patience};
    while (!worker_command(worker, &command))
        usleep(1000);
    eventfd_write(worker->wake_fd, 1);
    pthread_join(worker->thread, NULL);
    bool whole = !worker->recording.count;
    whole &= writer_stop(&worker->writer, command.stop_by);
    worker_free(worker);
    return whole;
}
