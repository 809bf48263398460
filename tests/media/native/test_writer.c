/* The writer on a disk made by hand: short writes, interruptions, a full disk that gets room again, kills at any write. */
#include <stdatomic.h>
#include <stdio.h>
#include <time.h>

static long pwrite_to_disk(int fd, const void *data, unsigned long length, long offset);
#define pwrite pwrite_to_disk
#define REQUESTS 64
#include "../../../media/native/writer.c"
#include "check.h"

static uint8_t disk[1 << 20];
static long disk_end, room = sizeof disk, most = sizeof disk;
static uint32_t writes, interrupted_every;
static bool playable_always = true;
static _Atomic bool stands_still;
static _Atomic uint32_t reached; /* writes that have begun */

static bool no_memory;

/* Compiled by tests/media/native/test_core.py in the place of calloc(). */
void *failing_calloc(size_t count, size_t size)
{
    void *memory = no_memory ? NULL : malloc(count * size);
    return memory ? memset(memory, 0, count * size) : NULL;
}

static uint32_t little(const uint8_t *p)
{
    return (uint32_t)p[3] << 24 | (uint32_t)p[2] << 16 | (uint32_t)p[1] << 8 | p[0];
}

/* A reader takes the file for a whole one if the header tells no more than there is. */
static bool playable(void)
{
    return disk_end >= WAV_HEADER && !memcmp(disk, "RIFF", 4) && !memcmp(disk + 8, "WAVEfmt ", 8)
           && !memcmp(disk + 50, "data", 4) && WAV_HEADER + (long)little(disk + 54) <= disk_end
           && little(disk + 4) == little(disk + 54) + WAV_HEADER - 8;
}

int64_t clock_ns(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * SECOND_NS + time.tv_nsec;
}

static long pwrite_to_disk(int fd, const void *data, unsigned long length, long offset)
{
    CHECK(fd == 77);
    atomic_fetch_add(&reached, 1);
    while (stands_still)
        usleep(1000);
    if (interrupted_every && ++writes % interrupted_every == 0) {
        errno = EINTR;
        return -1;
    }
    if (length > (unsigned long)most)
        length = (unsigned long)most;
    if (offset >= room) {
        errno = ENOSPC;
        return -1;
    }
    if (offset + (long)length > room)
        length = (unsigned long)(room - offset);
    memcpy(disk + offset, data, length);
    if (offset + (long)length > disk_end)
        disk_end = offset + (long)length;
    if (most == (long)sizeof disk) /* else a header may be half written */
        playable_always &= playable();
    return (long)length;
}

static struct writer writer;
static struct written_file file;

static void start(void)
{
    CHECK(ring_create(&writer.events, 16, sizeof(struct event)));
    writer.event_fd = eventfd(0, EFD_NONBLOCK);
    disk_end = 0;
    room = most = sizeof disk;
    interrupted_every = 0;
    playable_always = true;
    struct write_request open = {.type = WRITE_OPEN, .fd = 77};
    file_reset(&writer, &file);
    file_open(&writer, &file, &open);
}

static void write_chunk(int64_t position, uint8_t code)
{
    static struct write_request request;
    request.handle = 5;
    request.position = position;
    request.length = RECORD_CHUNK;
    memset(request.audio, code, RECORD_CHUNK);
    file_audio(&writer, &file, &request);
}

static struct event next_event(void)
{
    struct event *event = ring_peek(&writer.events), copy;
    CHECK(event);
    copy = *event;
    ring_pop(&writer.events);
    return copy;
}

static void finish(int64_t length)
{
    struct write_request request = {.type = WRITE_CLOSE, .handle = 5, .position = length};
    CHECK(dup2(writer.event_fd, 77) == 77); /* so that there is something to close */
    file_close(&writer, &file, &request);
}

static void end(void)
{
    ring_destroy(&writer.events);
    close(writer.event_fd);
}

static void test_a_file_is_playable_after_every_single_write(void)
{
    start();
    for (int chunk = 0; chunk < 20; chunk++)
        write_chunk(chunk * RECORD_CHUNK, 0x55);
    CHECK(playable_always && little(disk + 54) == 20 * RECORD_CHUNK);
    end();
}

static void test_short_and_interrupted_writes_lose_nothing(void)
{
    start();
    most = 1000;
    interrupted_every = 3;
    write_chunk(0, 1);
    write_chunk(RECORD_CHUNK, 2);
    CHECK(playable() && little(disk + 54) == 2 * RECORD_CHUNK && !ring_peek(&writer.events));
    CHECK(disk[WAV_HEADER + RECORD_CHUNK - 1] == 1 && disk[WAV_HEADER + RECORD_CHUNK] == 2);
    end();
}

static void test_a_full_disk_is_told_once_and_the_recording_goes_on_when_there_is_room(void)
{
    start();
    write_chunk(0, 1);
    room = WAV_HEADER + RECORD_CHUNK + 100;
    for (int chunk = 1; chunk < 5; chunk++)
        write_chunk(chunk * RECORD_CHUNK, 2);
    CHECK(playable() && little(disk + 54) == RECORD_CHUNK); /* what was whole stays */
    struct event event = next_event();
    CHECK(event.type == EVENT_TRUNCATED && event.handle == 5 && event.error == ENOSPC);
    CHECK(!ring_peek(&writer.events));
    room = sizeof disk;
    write_chunk(5 * RECORD_CHUNK, 3);
    CHECK(playable() && little(disk + 54) == 6 * RECORD_CHUNK);
    CHECK(disk[WAV_HEADER + 3 * RECORD_CHUNK] == ALAW_SILENCE && disk[WAV_HEADER + 5 * RECORD_CHUNK] == 3);
    finish(6 * RECORD_CHUNK);
    event = next_event();
    CHECK(event.type == EVENT_RECORDED && event.recorded.truncated && event.recorded.samples == 6 * RECORD_CHUNK);
    end();
}

static void test_a_resumed_file_keeps_what_it_holds(void)
{
    start();
    write_chunk(0, 1);
    struct write_request open = {.type = WRITE_OPEN, .fd = 77, .position = RECORD_CHUNK};
    file_open(&writer, &file, &open);
    write_chunk(RECORD_CHUNK / 2, 2); /* overlaps: only its second half is new */
    CHECK(disk[WAV_HEADER + RECORD_CHUNK - 1] == 1 && disk[WAV_HEADER + RECORD_CHUNK] == 2);
    CHECK(little(disk + 54) == RECORD_CHUNK * 3 / 2);
    end();
}

static void write_early(int64_t position, uint8_t code)
{
    write_chunk(position, code);
    CHECK(disk_end == 0);
}

static void test_what_comes_before_the_file_is_open_is_kept_for_it(void)
{
    start();
    file_reset(&writer, &file);
    disk_end = 0;
    write_early(0, 1);
    write_early(RECORD_CHUNK, 2);
    CHECK(writer.kept == 2);
    struct write_request open = {.type = WRITE_OPEN, .fd = 77};
    file_open(&writer, &file, &open);
    write_chunk(2 * RECORD_CHUNK, 3);
    finish(3 * RECORD_CHUNK);
    CHECK(playable_always && little(disk + 54) == 3 * RECORD_CHUNK && writer.kept == 0);
    for (int chunk = 0; chunk < 3; chunk++)
        CHECK(disk[WAV_HEADER + chunk * RECORD_CHUNK] == chunk + 1);
    struct event event = next_event();
    CHECK(event.type == EVENT_RECORDED && !event.recorded.truncated && event.recorded.samples == 3 * RECORD_CHUNK);
    end();
}

static void test_no_more_is_kept_than_there_is_room_for_and_the_rest_is_silence_and_told(void)
{
    start();
    file_reset(&writer, &file);
    disk_end = 0;
    for (int chunk = 0; chunk < REQUESTS + 2; chunk++)
        write_early(chunk * RECORD_CHUNK, 1);
    struct event event = next_event();
    CHECK(event.type == EVENT_TRUNCATED && event.error == ENOBUFS && !ring_peek(&writer.events));
    struct write_request open = {.type = WRITE_OPEN, .fd = 77};
    file_open(&writer, &file, &open);
    write_chunk((REQUESTS + 2) * RECORD_CHUNK, 3);
    CHECK(disk[WAV_HEADER + REQUESTS * RECORD_CHUNK - 1] == 1);
    CHECK(disk[WAV_HEADER + REQUESTS * RECORD_CHUNK] == ALAW_SILENCE);
    CHECK(disk[WAV_HEADER + (REQUESTS + 2) * RECORD_CHUNK] == 3);
    finish((REQUESTS + 3) * RECORD_CHUNK);
    event = next_event();
    CHECK(event.type == EVENT_RECORDED && event.recorded.truncated);
    end();
}

static void test_what_no_memory_could_be_had_for_is_silence_and_told(void)
{
    start();
    file_reset(&writer, &file);
    disk_end = 0;
    for (int chunk = 0; chunk < 3; chunk++) {
        no_memory = chunk == 1;
        write_early(chunk * RECORD_CHUNK, (uint8_t)(chunk + 1));
    }
    struct event event = next_event();
    CHECK(event.type == EVENT_TRUNCATED && event.error == ENOBUFS && !ring_peek(&writer.events));
    struct write_request open = {.type = WRITE_OPEN, .fd = 77};
    file_open(&writer, &file, &open);
    CHECK(disk[WAV_HEADER] == 1 && disk[WAV_HEADER + 2 * RECORD_CHUNK] == 3);
    CHECK(disk[WAV_HEADER + RECORD_CHUNK] == ALAW_SILENCE && disk[WAV_HEADER + 2 * RECORD_CHUNK - 1] == ALAW_SILENCE);
    finish(3 * RECORD_CHUNK);
    event = next_event();
    CHECK(event.type == EVENT_RECORDED && event.recorded.truncated && event.recorded.samples == 3 * RECORD_CHUNK);
    end();
}

static void test_a_recording_that_never_had_a_file_keeps_nothing(void)
{
    start();
    file_reset(&writer, &file);
    disk_end = 0;
    write_early(0, 1);
    finish(RECORD_CHUNK);
    struct event event = next_event();
    CHECK(event.type == EVENT_RECORDED && event.recorded.truncated && event.recorded.samples == 0);
    CHECK(writer.kept == 0 && disk_end == 0 && file.fd == -1 && !file.error);
    end();
}

static void ask_to_end(struct writer *one)
{
    struct write_request *request;
    while (!(request = ring_reserve(&one->requests)))
        usleep(1000);
    request->type = WRITE_SHUT_DOWN;
    ring_commit(&one->requests);
    eventfd_write(one->wake_fd, 1);
}

/* The process must end all the same; what the thread uses is left to it. */
static void test_a_disk_that_stands_still_holds_up_the_end_no_longer_than_is_said(void)
{
    static struct writer stuck[2];
    int event_fd = eventfd(0, EFD_NONBLOCK);
    disk_end = 0;
    stands_still = true;
    for (int full = 0; full < 2; full++) { /* the second time there is no place even to say that it is over */
        struct writer *one = &stuck[full];
        struct write_request *request;
        reached = 0;
        CHECK(writer_start(one, event_fd));
        while ((request = ring_reserve(&one->requests))) {
            *request = (struct write_request){.type = WRITE_OPEN, .handle = 5, .fd = 77};
            ring_commit(&one->requests);
            if (!full)
                break;
        }
        writer_wake(one);
        while (!reached)
            usleep(1000);
        int64_t before = clock_ns();
        CHECK(!writer_stop(one, before + SECOND_NS / 20) && clock_ns() - before >= SECOND_NS / 20);
    }
    stands_still = false;
    ask_to_end(&stuck[1]); /* else it would still be writing to the disk of the tests that follow */
    for (int full = 0; full < 2; full++)
        CHECK(writer_is_done(&stuck[full], clock_ns() + 60 * SECOND_NS));
    close(event_fd);
}

static void test_what_waits_is_written_before_the_end(void)
{
    static struct writer writing;
    int event_fd = eventfd(0, EFD_NONBLOCK);
    disk_end = 0;
    reached = 0;
    CHECK(writer_start(&writing, event_fd));
    struct write_request *request = ring_reserve(&writing.requests);
    *request = (struct write_request){.type = WRITE_OPEN, .handle = 5, .fd = 77};
    ring_commit(&writing.requests);
    CHECK(writer_stop(&writing, INT64_MAX) && reached == 1 && playable());
    close(event_fd);
}

int main(void)
{
    test_what_comes_before_the_file_is_open_is_kept_for_it();
    test_no_more_is_kept_than_there_is_room_for_and_the_rest_is_silence_and_told();
    test_what_no_memory_could_be_had_for_is_silence_and_told();
    test_a_recording_that_never_had_a_file_keeps_nothing();
    test_what_waits_is_written_before_the_end();
    test_a_disk_that_stands_still_holds_up_the_end_no_longer_than_is_said();
    test_a_file_is_playable_after_every_single_write();
    test_short_and_interrupted_writes_lose_nothing();
    test_a_full_disk_is_told_once_and_the_recording_goes_on_when_there_is_room();
    test_a_resumed_file_keeps_what_it_holds();
    puts("ok");
    return 0;
}
