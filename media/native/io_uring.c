/* Sockets by io_uring (Linux 6.1): one system call a tick sends everything, sleeps, and has received everything.
 *
 * Receives are multishot into a ring of provided buffers; relayed packets are sent out of the same buffers, which go
 * back to the kernel once the sends are submitted (MSG_DONTWAIT: submitted is done). Completions are run only by
 * io_uring_enter (DEFER_TASKRUN), so that arriving packets wake nobody.
 */
#include <errno.h>
#include <linux/io_uring.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "core.h"

#define SQ_ENTRIES 4096
#define CQ_ENTRIES 16384
#define BUFFERS 2048
#define BUFFER_SIZE 2048
#define SCRATCH_SIZE (512 + SRTP_ROOM)
#define GROUP 0
#define ARMED 1
#define PAUSED 4
#define OPEN 8
#define TAG_WAKE UINT64_MAX
#define TAG_IGNORED (UINT64_MAX - 1)

struct uring_io {
    struct io io;
    int fd, wake_fd;
    bool enabled, watched; /* is the wake-up descriptor looked at? */
    uint32_t capacity, unarmed; /* receives that the queue had no place for */
    int (*fds)[2];
    uint32_t *generations; /* per slot, so that a completion of the slot's former sockets is known */
    uint8_t *states;       /* per slot: ARMED << source, PAUSED, OPEN */
    uint32_t *sq_head, *sq_tail, *cq_head, *cq_tail;
    uint32_t sq_filled, sq_submitted;
    struct io_uring_sqe *sqes;
    struct io_uring_cqe *cqes;
    struct io_uring_buf_ring *buffer_ring;
    uint8_t *buffers;
    uint16_t buffer_tail;
    uint32_t held_count;
    uint16_t held[BUFFERS]; /* buffers whose packets may still be sent */
    uint32_t scratch_next;
    uint8_t (*scratch)[SCRATCH_SIZE];
    void *sq_map;
    size_t sq_map_size;
    struct msghdr receive_shape;
};

static int uring_enter(struct uring_io *self, uint32_t wanted, uint32_t flags, struct io_uring_getevents_arg *argument)
{
    uint32_t count = self->sq_filled - self->sq_submitted;
    __atomic_store_n(self->sq_tail, self->sq_filled, __ATOMIC_RELEASE);
    size_t size = argument ? sizeof *argument : 0;
    int result = (int)syscall(SYS_io_uring_enter, self->fd, count, wanted, flags, argument, size);
    self->sq_submitted = __atomic_load_n(self->sq_head, __ATOMIC_ACQUIRE);
    return result;
}

/* NULL: the queue is full, and the kernel takes nothing of it now (EAGAIN, EBUSY). */
static struct io_uring_sqe *uring_sqe(struct uring_io *self, uint8_t operation, int fd, uint64_t tag)
{
    if (self->sq_filled - self->sq_submitted == SQ_ENTRIES)
        uring_enter(self, 0, 0, NULL);
    if (self->sq_filled - self->sq_submitted == SQ_ENTRIES)
        return NULL;
    struct io_uring_sqe *sqe = &self->sqes[self->sq_filled++ & (SQ_ENTRIES - 1)];
    memset(sqe, 0, sizeof *sqe);
    sqe->opcode = operation;
    sqe->fd = fd;
    sqe->user_data = tag;
    return sqe;
}

/* Buffers */

static uint8_t *uring_buffer(struct uring_io *self, uint16_t id)
{
    return self->buffers + (size_t)id * BUFFER_SIZE;
}

static void uring_provide(struct uring_io *self, uint16_t id)
{
    struct io_uring_buf *buffer = &self->buffer_ring->bufs[self->buffer_tail++ & (BUFFERS - 1)];
    buffer->addr = (uint64_t)(uintptr_t)uring_buffer(self, id);
    buffer->len = BUFFER_SIZE - SRTP_ROOM;
    buffer->bid = id;
}

static void uring_publish(struct uring_io *self)
{
    __atomic_store_n(&self->buffer_ring->tail, self->buffer_tail, __ATOMIC_RELEASE);
}

/* Everything that used the held buffers has been submitted. */
static void uring_give_back(struct uring_io *self)
{
    if (!self->held_count || self->sq_submitted != self->sq_filled)
        return;
    for (uint32_t i = 0; i < self->held_count; i++)
        uring_provide(self, self->held[i]);
    self->held_count = 0;
    uring_publish(self);
}

/* Life */

static bool uring_map(struct uring_io *self, const struct io_uring_params *params)
{
    self->sq_map_size = params->sq_off.array + params->sq_entries * sizeof(uint32_t);
    size_t cq_size = params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe);
    if (cq_size > self->sq_map_size)
        self->sq_map_size = cq_size;
    int protection = PROT_READ | PROT_WRITE, flags = MAP_SHARED | MAP_POPULATE;
    uint8_t *rings = mmap(NULL, self->sq_map_size, protection, flags, self->fd, IORING_OFF_SQ_RING);
    self->sqes = mmap(NULL, SQ_ENTRIES * sizeof *self->sqes, protection, flags, self->fd, IORING_OFF_SQES);
    if (rings == MAP_FAILED || self->sqes == MAP_FAILED)
        return false;
    self->sq_map = rings;
    self->sq_head = (uint32_t *)(rings + params->sq_off.head);
    self->sq_tail = (uint32_t *)(rings + params->sq_off.tail);
    self->cq_head = (uint32_t *)(rings + params->cq_off.head);
    self->cq_tail = (uint32_t *)(rings + params->cq_off.tail);
    self->cqes = (struct io_uring_cqe *)(rings + params->cq_off.cqes);
    uint32_t *array = (uint32_t *)(rings + params->sq_off.array);
    for (uint32_t i = 0; i < params->sq_entries; i++)
        array[i] = i;
    return true;
}

static bool uring_set_up(struct uring_io *self)
{
    struct io_uring_params params = {
        .flags = IORING_SETUP_CQSIZE | IORING_SETUP_SUBMIT_ALL | IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN
                 | IORING_SETUP_R_DISABLED,
        .cq_entries = CQ_ENTRIES,
    };
    self->fd = (int)syscall(SYS_io_uring_setup, SQ_ENTRIES, &params);
    if (self->fd < 0 || !(params.features & IORING_FEAT_SINGLE_MMAP) || !uring_map(self, &params))
        return false;
    size_t ring_size = BUFFERS * sizeof(struct io_uring_buf);
    self->buffer_ring = mmap(NULL, ring_size, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    self->buffers = mmap(NULL, BUFFERS * BUFFER_SIZE, PROT_READ | PROT_WRITE, MAP_ANONYMOUS | MAP_PRIVATE, -1, 0);
    if (self->buffer_ring == MAP_FAILED || self->buffers == MAP_FAILED)
        return false;
    struct io_uring_buf_reg registration = {
        .ring_addr = (uint64_t)(uintptr_t)self->buffer_ring, .ring_entries = BUFFERS, .bgid = GROUP};
    if (syscall(SYS_io_uring_register, self->fd, IORING_REGISTER_PBUF_RING, &registration, 1) < 0)
        return false;
    for (uint32_t id = 0; id < BUFFERS; id++)
        uring_provide(self, (uint16_t)id);
    uring_publish(self);
    return true;
}

static void uring_destroy(struct io *io)
{
    struct uring_io *self = (struct uring_io *)io;
    if (self->fd >= 0)
        close(self->fd);
    if (self->sq_map)
        munmap(self->sq_map, self->sq_map_size);
    if (self->sqes && self->sqes != MAP_FAILED)
        munmap(self->sqes, SQ_ENTRIES * sizeof *self->sqes);
    if (self->buffer_ring && self->buffer_ring != MAP_FAILED)
        munmap(self->buffer_ring, BUFFERS * sizeof(struct io_uring_buf));
    if (self->buffers && self->buffers != MAP_FAILED)
        munmap(self->buffers, BUFFERS * BUFFER_SIZE);
    free(self->fds);
    free(self->generations);
    free(self->states);
    free(self->scratch);
    free(self);
}

static struct io *uring_create(uint32_t capacity, int wake_fd)
{
    struct uring_io *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->fd = -1;
    self->wake_fd = wake_fd;
    self->capacity = capacity;
    self->fds = calloc(capacity, sizeof *self->fds);
    self->generations = calloc(capacity, sizeof *self->generations);
    self->states = calloc(capacity, sizeof *self->states);
    self->scratch = calloc(SQ_ENTRIES, SCRATCH_SIZE);
    self->receive_shape.msg_namelen = sizeof(union address);
    if (!self->fds || !self->generations || !self->states || !self->scratch || !uring_set_up(self)) {
        uring_destroy(&self->io);
        return NULL;
    }
    return &self->io;
}

/* Requests */

static void uring_watch_wake(struct uring_io *self)
{
    struct io_uring_sqe *sqe = uring_sqe(self, IORING_OP_POLL_ADD, self->wake_fd, TAG_WAKE);
    self->watched = sqe;
    if (sqe)
        sqe->poll32_events = POLLIN;
}

/* The ring belongs to the thread that enables it: the worker's. */
static void uring_enable(struct uring_io *self)
{
    if (self->enabled)
        return;
    self->enabled = true;
    syscall(SYS_io_uring_register, self->fd, IORING_REGISTER_ENABLE_RINGS, NULL, 0);
    uring_watch_wake(self);
}

static void uring_arm(struct uring_io *self, uint32_t slot, uint32_t rtcp)
{
    uint64_t tag = (uint64_t)self->generations[slot] << 32 | slot << 1 | rtcp;
    struct io_uring_sqe *sqe = uring_sqe(self, IORING_OP_RECVMSG, self->fds[slot][rtcp], tag);
    if (!sqe) {
        self->unarmed++;
        return;
    }
    self->states[slot] |= (uint8_t)(ARMED << rtcp);
    sqe->addr = (uint64_t)(uintptr_t)&self->receive_shape;
    sqe->len = 1;
    sqe->ioprio = IORING_RECV_MULTISHOT;
    sqe->flags = IOSQE_BUFFER_SELECT;
    sqe->buf_group = GROUP;
}

static void uring_arm_all(struct uring_io *self, uint32_t slot)
{
    for (uint32_t rtcp = 0; rtcp < 2; rtcp++)
        if (!(self->states[slot] & ARMED << rtcp))
            uring_arm(self, slot, rtcp);
}

/* What found the queue full goes first when there is room again. */
static void uring_make_good(struct uring_io *self)
{
    if (!self->watched)
        uring_watch_wake(self);
    if (!self->unarmed)
        return;
    self->unarmed = 0;
    for (uint32_t slot = 0; slot < self->capacity && !self->unarmed; slot++)
        if ((self->states[slot] & (OPEN | PAUSED)) == OPEN)
            uring_arm_all(self, slot);
}

static bool uring_open(struct io *io, uint32_t slot, int rtp_fd, int rtcp_fd)
{
    struct uring_io *self = (struct uring_io *)io;
    uring_enable(self); /* before that a full queue can't be submitted */
    self->generations[slot] = (self->generations[slot] + 1) & 0x7FFFFFFF;
    self->fds[slot][0] = rtp_fd;
    self->fds[slot][1] = rtcp_fd;
    self->states[slot] = OPEN;
    uring_arm_all(self, slot);
    return true;
}

/* By a call of its own, where the queue has no place. */
static void uring_cancel_now(struct uring_io *self, int fd)
{
    struct io_uring_sync_cancel_reg cancel = {
        .fd = fd, .flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL, .timeout = {-1, -1}};
    syscall(SYS_io_uring_register, self->fd, IORING_REGISTER_SYNC_CANCEL, &cancel, 1);
}

static void uring_cancel(struct uring_io *self, uint32_t slot)
{
    for (int i = 0; i < 2; i++) {
        struct io_uring_sqe *sqe = uring_sqe(self, IORING_OP_ASYNC_CANCEL, self->fds[slot][i], TAG_IGNORED);
        if (sqe)
            sqe->cancel_flags = IORING_ASYNC_CANCEL_FD | IORING_ASYNC_CANCEL_ALL;
        else
            uring_cancel_now(self, self->fds[slot][i]);
    }
}

/* What the kernel has not taken yet goes nowhere: the next socket may have the same descriptor. */
static void uring_withdraw(struct uring_io *self, uint32_t slot)
{
    for (uint32_t i = self->sq_submitted; i != self->sq_filled; i++) {
        struct io_uring_sqe *sqe = &self->sqes[i & (SQ_ENTRIES - 1)];
        if (sqe->fd == self->fds[slot][0] || sqe->fd == self->fds[slot][1])
            *sqe = (struct io_uring_sqe){.opcode = IORING_OP_NOP, .user_data = TAG_IGNORED};
    }
}

/* A receive holds its socket: it must have ended before the port is free. */
static void uring_close(struct io *io, uint32_t slot)
{
    struct uring_io *self = (struct uring_io *)io;
    uring_enable(self);
    uring_cancel(self, slot);
    uring_enter(self, 0, IORING_ENTER_GETEVENTS, NULL);
    for (int i = 0; i < 2 && self->sq_submitted != self->sq_filled; i++)
        uring_cancel_now(self, self->fds[slot][i]);
    uring_withdraw(self, slot);
    self->generations[slot] = (self->generations[slot] + 1) & 0x7FFFFFFF;
    self->states[slot] = 0;
    close(self->fds[slot][0]);
    close(self->fds[slot][1]);
}

static int uring_sleep(struct uring_io *self, int64_t until)
{
    if (until < 0)
        return uring_enter(self, 1, IORING_ENTER_GETEVENTS, NULL);
    int64_t rest = until - clock_ns();
    rest = rest > 0 ? rest : 0;
    struct __kernel_timespec time = {.tv_sec = rest / SECOND_NS, .tv_nsec = rest % SECOND_NS};
    struct io_uring_getevents_arg argument = {.ts = (uint64_t)(uintptr_t)&time};
    return uring_enter(self, CQ_ENTRIES, IORING_ENTER_GETEVENTS | IORING_ENTER_EXT_ARG, &argument);
}

static void uring_wait(struct io *io, int64_t until)
{
    struct uring_io *self = (struct uring_io *)io;
    uring_enable(self);
    uring_make_good(self);
    if (uring_sleep(self, until) < 0 && errno != ETIME && errno != EINTR)
        nanosleep(&(struct timespec){.tv_nsec = TICK_NS}, NULL); /* it takes nothing now: not as fast as it can say so */
    uring_give_back(self);
}

/* A packet lies behind its io_uring_recvmsg_out and the sender's address. */
static void uring_packet(struct uring_io *self, struct worker *worker, const struct io_uring_cqe *cqe)
{
    uint16_t id = (uint16_t)(cqe->flags >> IORING_CQE_BUFFER_SHIFT);
    uint8_t *buffer = uring_buffer(self, id);
    const struct io_uring_recvmsg_out *out = (const struct io_uring_recvmsg_out *)buffer;
    const union address *from = (const union address *)(out + 1);
    uint32_t source = (uint32_t)cqe->user_data, slot = source >> 1;
    size_t before = sizeof *out + sizeof *from;
    self->held[self->held_count++] = id;
    if (self->generations[slot] == cqe->user_data >> 32 && cqe->res >= (int)before && !(out->flags & MSG_TRUNC))
        endpoint_receive(worker, slot, source & 1, buffer + before, (size_t)cqe->res - before, from);
}

static void uring_complete(struct uring_io *self, struct worker *worker, const struct io_uring_cqe *cqe)
{
    eventfd_t wakes;
    if (cqe->user_data == TAG_IGNORED)
        return;
    if (cqe->user_data == TAG_WAKE) {
        eventfd_read(self->wake_fd, &wakes);
        uring_watch_wake(self);
        return;
    }
    if (cqe->flags & IORING_CQE_F_BUFFER)
        uring_packet(self, worker, cqe);
    /* Multishot ends when buffers ran out or an error was read: arm it again while the slot is the same. */
    uint32_t source = (uint32_t)cqe->user_data, slot = source >> 1;
    if (cqe->flags & IORING_CQE_F_MORE || self->generations[slot] != cqe->user_data >> 32)
        return;
    self->states[slot] &= (uint8_t)~(ARMED << (source & 1));
    if (!(self->states[slot] & PAUSED))
        uring_arm(self, slot, source & 1);
}

/* A receive whose cancellation is still on the way is armed again when it has ended. */
static void uring_pause(struct io *io, uint32_t slot, bool paused)
{
    struct uring_io *self = (struct uring_io *)io;
    if (paused) {
        self->states[slot] |= PAUSED;
        uring_cancel(self, slot);
        return;
    }
    self->states[slot] &= (uint8_t)~PAUSED;
    uring_arm_all(self, slot);
}

static void uring_receive(struct io *io, struct worker *worker)
{
    struct uring_io *self = (struct uring_io *)io;
    uint32_t head = *self->cq_head;
    uint32_t tail = __atomic_load_n(self->cq_tail, __ATOMIC_ACQUIRE);
    for (; head != tail; head++)
        uring_complete(self, worker, &self->cqes[head & (CQ_ENTRIES - 1)]);
    __atomic_store_n(self->cq_head, head, __ATOMIC_RELEASE);
}

/* As many as there are submissions: one is free again when its packet has been sent. */
static uint8_t *uring_scratch(struct io *io)
{
    struct uring_io *self = (struct uring_io *)io;
    return self->scratch[self->scratch_next++ & (SQ_ENTRIES - 1)];
}

static void uring_send(struct io *io, uint32_t slot, bool rtcp, const uint8_t *data, size_t length,
                       const union address *to)
{
    struct uring_io *self = (struct uring_io *)io;
    struct io_uring_sqe *sqe = uring_sqe(self, IORING_OP_SEND, self->fds[slot][rtcp], TAG_IGNORED);
    if (!sqe) /* lost, as by a full socket buffer */
        return;
    sqe->flags = IOSQE_CQE_SKIP_SUCCESS;
    sqe->addr = (uint64_t)(uintptr_t)data;
    sqe->len = (uint32_t)length;
    sqe->addr2 = (uint64_t)(uintptr_t)to;
    sqe->addr_len = (uint16_t)address_length(to);
    sqe->msg_flags = MSG_DONTWAIT | MSG_NOSIGNAL;
}

const struct io_kind io_uring = {
    .name = "uring",
    .create = uring_create,
    .destroy = uring_destroy,
    .open = uring_open,
    .close = uring_close,
    .wait = uring_wait,
    .receive = uring_receive,
    .scratch = uring_scratch,
    .send = uring_send,
    .pause = uring_pause,
};
