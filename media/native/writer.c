/* The writer thread: recordings to disk as WAV (A-law, format 6), so that a slow disk never delays RTP.
 *
 * The header is rewritten after every write (twice a second): a file is playable whenever the process is killed. What
 * can't be written is told once and tried again with the next audio: what is missing then becomes silence. Others open
 * the files: what comes before one is open is kept for it.
 */
#include <errno.h>
#include <limits.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "core.h"

#ifndef REQUESTS /* tests need fewer */
#define REQUESTS 8192 /* what waits for a disk that stands still: 4 s of 1000 recordings; as much for files to be opened */
#endif

/* Audio whose file is not open yet. */
struct kept {
    struct kept *next;
    struct write_request request;
};

struct written_file {
    int fd, error; /* -1 before it is open; errno of what failed first */
    bool stereo;
    int64_t length; /* bytes of audio in the file */
    struct kept *first, *last;
};

static void write_le(uint8_t *p, uint32_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        p[i] = (uint8_t)(value >> (8 * i));
}

/* fmt (with the empty extension that non-PCM formats carry), fact, data. */
static void wav_header(uint8_t *p, uint32_t length, uint32_t channels)
{
    memcpy(p, "RIFF\0\0\0\0WAVEfmt ", 16);
    write_le(p + 4, WAV_HEADER - 8 + length, 4);
    write_le(p + 16, 18, 4);
    write_le(p + 20, 6, 2);
    write_le(p + 22, channels, 2);
    write_le(p + 24, 8000, 4);
    write_le(p + 28, 8000 * channels, 4);
    write_le(p + 32, channels, 2);
    write_le(p + 34, 8, 2);
    write_le(p + 36, 0, 2);
    memcpy(p + 38, "fact", 4);
    write_le(p + 42, 4, 4);
    write_le(p + 46, length / channels, 4);
    memcpy(p + 50, "data", 4);
    write_le(p + 54, length, 4);
}

static bool file_write_at(struct written_file *file, const uint8_t *data, size_t length, int64_t offset)
{
    while (length) {
        ssize_t written = pwrite(file->fd, data, length, offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            if (!file->error)
                file->error = written ? errno : EIO;
            return false;
        }
        data += written;
        length -= (size_t)written;
        offset += written;
    }
    return true;
}

static void file_write_header(struct written_file *file)
{
    uint8_t header[WAV_HEADER];
    wav_header(header, (uint32_t)file->length, file->stereo ? 2 : 1);
    file_write_at(file, header, sizeof header, 0);
}

static bool file_append(struct written_file *file, const uint8_t *data, size_t length)
{
    if (!file_write_at(file, data, length, WAV_HEADER + file->length))
        return false;
    file->length += (int64_t)length;
    return true;
}

/* Silence where nothing could be recorded (a full ring or disk, the time between a crash and the resumption). */
static bool file_fill(struct written_file *file, int64_t position)
{
    uint8_t silence[4096];
    memset(silence, ALAW_SILENCE, sizeof silence);
    while (file->length < position) {
        int64_t rest = position - file->length;
        if (!file_append(file, silence, rest > (int64_t)sizeof silence ? sizeof silence : (size_t)rest))
            return false;
    }
    return true;
}

static void writer_tell(struct writer *writer, const struct event *told)
{
    struct event *event = ring_reserve(&writer->events);
    if (!event)
        return;
    *event = *told;
    ring_commit(&writer->events);
    eventfd_write(writer->event_fd, 1);
}

/* Of what there is no room for, only the place is kept. */
static bool file_keep(struct writer *writer, struct written_file *file, const struct write_request *request)
{
    struct kept *kept = writer->kept < REQUESTS ? calloc(1, sizeof *kept) : NULL;
    if (!kept)
        return false;
    memcpy(&kept->request, request, offsetof(struct write_request, audio) + request->length);
    *(file->last ? &file->last->next : &file->first) = kept;
    file->last = kept;
    writer->kept++;
    return true;
}

static void file_forget_first(struct writer *writer, struct written_file *file)
{
    struct kept *kept = file->first;
    file->first = kept->next;
    if (!file->first)
        file->last = NULL;
    writer->kept--;
    free(kept);
}

static void file_write_audio(struct written_file *file, const struct write_request *request)
{
    int64_t known = file->length - request->position; /* a resumed file may hold some of it */
    if (known < 0 && file_fill(file, request->position))
        known = 0;
    if (known < request->length && known >= 0)
        file_append(file, request->audio + known, request->length - (size_t)known);
    file_write_header(file);
}

static void file_audio(struct writer *writer, struct written_file *file, const struct write_request *request)
{
    bool failed_before = file->error;
    if (file->fd >= 0)
        file_write_audio(file, request);
    else if (!file_keep(writer, file, request) && !file->error)
        file->error = ENOBUFS;
    if (file->error && !failed_before)
        writer_tell(writer, &(struct event){.type = EVENT_TRUNCATED, .handle = request->handle, .error = file->error});
}

static void file_complete(struct written_file *file, int64_t position)
{
    file_fill(file, position);
    file_write_header(file);
    if (file->error && ftruncate(file->fd, WAV_HEADER + file->length) < 0) /* what was written in part */
        file->error = errno;
    if (close(file->fd) < 0 && !file->error)
        file->error = errno;
}

/* The place is free for the next recording. */
static void file_reset(struct writer *writer, struct written_file *file)
{
    while (file->first)
        file_forget_first(writer, file);
    *file = (struct written_file){.fd = -1};
}

static void file_close(struct writer *writer, struct written_file *file, const struct write_request *request)
{
    struct event event = {.type = EVENT_RECORDED, .handle = request->handle};
    event.recorded.truncated = true; /* there never was a file */
    if (file->fd >= 0) {
        file_complete(file, request->position);
        event.recorded.samples = file->length / (file->stereo ? 2 : 1);
        event.recorded.bytes = (uint64_t)(file->length + WAV_HEADER);
        event.recorded.truncated = request->truncated || file->error;
    }
    file_reset(writer, file);
    writer_tell(writer, &event);
}

static void file_open(struct writer *writer, struct written_file *file, const struct write_request *request)
{
    file->fd = request->fd;
    file->stereo = request->stereo;
    file->length = request->position;
    file_write_header(file);
    for (; file->first; file_forget_first(writer, file))
        file_audio(writer, file, &file->first->request);
}

static void *writer_run(void *argument)
{
    struct writer *writer = argument;
    eventfd_t count;
    for (;;) {
        const struct write_request *request;
        while ((request = ring_peek(&writer->requests))) {
            struct written_file *file = &writer->files[request->handle & 0xFFFF];
            switch (request->type) {
            case WRITE_OPEN: file_open(writer, file, request); break;
            case WRITE_AUDIO: file_audio(writer, file, request); break;
            case WRITE_CLOSE: file_close(writer, file, request); break;
            case WRITE_SHUT_DOWN: eventfd_write(writer->done_fd, 1); return NULL;
            }
            ring_pop(&writer->requests);
        }
        eventfd_read(writer->wake_fd, &count);
    }
}

static void writer_free(struct writer *writer)
{
    if (writer->wake_fd >= 0)
        close(writer->wake_fd);
    if (writer->done_fd >= 0)
        close(writer->done_fd);
    ring_destroy(&writer->requests);
    ring_destroy(&writer->events);
    for (uint32_t i = 0; writer->files && i < MAX_RECORDINGS; i++)
        file_reset(writer, &writer->files[i]);
    free(writer->files);
}

bool writer_start(struct writer *writer, int event_fd)
{
    writer->event_fd = event_fd;
    writer->wake_fd = eventfd(0, EFD_CLOEXEC);
    writer->done_fd = eventfd(0, EFD_CLOEXEC);
    writer->files = calloc(MAX_RECORDINGS, sizeof *writer->files);
    for (uint32_t i = 0; writer->files && i < MAX_RECORDINGS; i++)
        writer->files[i].fd = -1;
    if (writer->wake_fd >= 0 && writer->done_fd >= 0 && writer->files && ring_create(&writer->requests, REQUESTS, sizeof(struct write_request))
        && ring_create(&writer->events, 2 * MAX_RECORDINGS, sizeof(struct event))
        && pthread_create(&writer->thread, NULL, writer_run, writer) == 0)
        return true;
    writer_free(writer);
    return false;
}

void writer_wake(struct writer *writer)
{
    uint32_t tail = atomic_load_explicit(&writer->requests.tail, memory_order_relaxed);
    if (tail == writer->woken_at)
        return;
    writer->woken_at = tail;
    eventfd_write(writer->wake_fd, 1);
}

static bool writer_is_done(const struct writer *writer, int64_t until)
{
    struct pollfd done = {.fd = writer->done_fd, .events = POLLIN};
    int result;
    do {
        int64_t rest_ms = (until - clock_ns() + 999999) / 1000000;
        result = poll(&done, 1, rest_ms < 0 ? 0 : rest_ms > INT_MAX ? -1 : (int)rest_ms);
    } while (result < 0 && errno == EINTR);
    return result == 1;
}

/* After the worker has ended: writes what is left, but waits for a disk that stands still no longer than until then (as
 * clock_ns). False: the thread is left behind with all that it uses.
 */
bool writer_stop(struct writer *writer, int64_t until)
{
    struct write_request *request;
    while (!(request = ring_reserve(&writer->requests)) && clock_ns() < until)
        usleep(1000);
    if (request) {
        request->type = WRITE_SHUT_DOWN;
        request->handle = 0;
        ring_commit(&writer->requests);
        eventfd_write(writer->wake_fd, 1);
    }
    if (!request || !writer_is_done(writer, until)) {
        pthread_detach(writer->thread);
        return false;
    }
    pthread_join(writer->thread, NULL);
    writer_free(writer);
    return true;
}
