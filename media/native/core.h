/* Everything that the worker thread owns: endpoints, playbacks, recordings, and the rings to the other threads.
 *
 * Handles are `generation << 16 | slot`; they are given out by the commanding thread (module.c) and a stale one finds
 * nothing. Times are CLOCK_MONOTONIC nanoseconds. The worker allocates, locks and formats nothing once it runs.
 */
#ifndef MEDIA_CORE_H
#define MEDIA_CORE_H

#include <pthread.h>
#include <stddef.h>

#include "address.h"
#include "codec.h"
#include "dtmf.h"
#include "g711.h"
#include "io.h"
#include "kernel_relay.h"
#include "latch.h"
#include "ring.h"
#include "rtp.h"
#include "srtp.h"
#include "timeline.h"

#define FRAME_SAMPLES 160
#define FRAME_NS 20000000LL
#define TICK_NS 2000000LL
#define SECOND_NS 1000000000LL
#define SAMPLE_NS 125000LL
#define MAX_LISTENERS 4
#define MAX_PACKET 1500
#define MAX_PTIME_MS 60
#define MAX_FRAME (8 * MAX_PTIME_MS)
#ifndef MAX_PLAYBACKS /* tests need fewer */
#define MAX_PLAYBACKS 8192
#define MAX_RECORDINGS 8192
#endif
#define MIX_QUEUE 2048        /* samples of talk that wait for a mixed prompt's next frame: 256 ms */
#define RECORD_WINDOW 8192    /* samples a recording keeps in memory: 1024 ms, more than chunk and delay */
#define RECORD_DELAY 1920     /* samples that late packets have at least to arrive: 240 ms */
#define RECORD_CHUNK 4000     /* samples written at once: 500 ms */
#define WAV_HEADER 58         /* bytes before the audio of a recording */
#define NONE UINT32_MAX

/* Commands: commanding thread to worker */

enum command_type {
    COMMAND_OPEN,
    COMMAND_CONFIGURE,
    COMMAND_CONNECT,
    COMMAND_DISCONNECT,
    COMMAND_PLAY,
    COMMAND_STOP_PLAY,
    COMMAND_RECORD,
    COMMAND_FILE,
    COMMAND_VOICES,
    COMMAND_CLOSE_RECORDING,
    COMMAND_CLOSE,
    COMMAND_SHUT_DOWN,
};

struct remote {
    struct announcement announced;
    const struct codec *codec; /* NULL: G.711 */
    struct tuning tuning;
    int16_t payload_type, payload_type_in;
    int16_t event_out; /* RFC 4733 payload type we send with, -1: none */
    int16_t event_in;  /* the one we receive, -1: none */
    uint16_t frame;    /* samples a packet that it asks for */
    uint8_t event_scale; /* units of an event's duration a sample; 0: one */
    uint8_t event_other; /* payload type of events in the other clock, of 8 and 48 kHz, that it may send; 0: none */
    bool sending, receiving;
    struct srtp_context *srtp_in, *srtp_out; /* NULL: plain. Whoever obeys the command owns them */
};

/* One prompt's A-law: everybody who hears it shares the one copy. */
struct piece {
    const uint8_t *samples;
    size_t length; /* never 0 */
};

struct command {
    enum command_type type;
    uint32_t handle;
    int64_t at; /* when it was given; the worker may come to it a tick or, on a busy machine, more later */
    union {
        struct { int rtp_fd, rtcp_fd; uint32_t ssrc, timestamp; uint16_t sequence; uint64_t cname; } open;
        struct remote remote;
        struct { uint32_t other; bool digits; } connect;
        struct {
            const struct piece *pieces;
            uint16_t piece_count, once;
            uint32_t listeners[MAX_LISTENERS];
            uint8_t count;
            bool loop, mix;
        } play;
        struct { uint32_t left, right; bool stereo, voices; int64_t elapsed; } record;
        struct { int fd; int64_t written; } file; /* of a recording; fd -1: it has none */
        int64_t stop_by; /* when to wait no longer for the disk */
    };
};

/* Events: worker and writer to the commanding thread */

enum event_type { EVENT_CLOSED, EVENT_DIGIT, EVENT_SILENCE, EVENT_PLAYED, EVENT_RECORDED, EVENT_TRUNCATED, EVENT_TOTALS };

/* What was not taken: from elsewhere than the far end, no RTP or RTCP that was agreed on, too much of it, or by SRTP
 * not of who has the key, or not for the first time.
 */
struct drops {
    uint64_t strangers, unusable, excess, forged, replayed;
};

struct statistics {
    uint64_t received, sent;
    struct drops drops;
    int64_t lost, remote_lost;
    double jitter_ms, remote_jitter_ms, round_trip_ms;
    bool reported; /* the far end's RTCP tells `remote_…` */
};

struct play_report {
    uint32_t frames, first_timestamp, last_timestamp;
    int32_t remote_lost;
    bool completed;
};

struct totals {
    uint64_t packets_in, packets_out, packets_late, packets_kernel, bytes_recorded, events, events_lost;
    struct drops drops;
    uint64_t storms; /* times that a port was not read for a while */
    int64_t lost;
    uint32_t endpoints, playbacks, recordings, kernel_streams;
};

struct event {
    enum event_type type;
    uint32_t handle;
    union {
        struct statistics statistics;
        char digit;
        bool silent;
        int error; /* EVENT_TRUNCATED: errno, 0 where the disk does not keep up */
        struct { uint8_t count; struct play_report reports[MAX_LISTENERS]; } played;
        struct { int64_t samples; uint64_t bytes; bool truncated; } recorded;
        struct totals totals;
    };
};

/* Endpoints */

/* What was received from one far end: RFC 3550 appendix A.1, A.3, A.8. */
struct receiver {
    uint32_t ssrc, base, highest, transit, jitter_q4;
    uint32_t received, expected_prior, received_prior;
    int64_t lost_before; /* by earlier SSRCs */
    uint64_t received_all;
    bool started, timed; /* timed: `transit` is known */
    uint32_t sender_report, sender_report_of; /* middle 32 bits of the last SR's NTP time; whose it was */
    int64_t sender_report_at;
};

/* What is sent to one far end: the one SSRC, sequence and timestamp line it sees whoever speaks. */
enum source { SOURCE_NONE, SOURCE_RELAY, SOURCE_PROMPT, SOURCE_MIX };

struct line {
    union address to;
    uint32_t ssrc, timestamp; /* of the newest packet sent */
    uint16_t sequence;
    int16_t event_out;
    uint8_t payload_type, law; /* law: PCMA or PCMU, of the audio that waits to be sent */
    uint16_t frame;    /* samples a packet that the far end asks for */
    uint16_t duration; /* samples of the newest packet sent */
    bool open; /* configured and allowed to send */
    enum source source;
    /* How the peer's numbers become ours: of the present relaying, or of the last while a prompt is the source. */
    uint16_t sequence_offset, in_first, in_highest, in_samples;
    uint32_t in_ssrc, timestamp_offset, in_timestamp, relayed;
    uint32_t mixed_from, mixed_ssrc, mixed_until; /* talk in a mix: where its beginning belongs, its source, its end there */
    bool mixed_on, keyed; /* `mixed_from` is known, and so is the newest key, in the packets it came in: */
    uint32_t key_ssrc, key_in, key_out, key_hidden; /* its timestamp, and ours; samples of it that do not go out */
    uint32_t clock; /* timestamp of the newest audio or key, sent or waiting in `packing`: that of `clock_at` */
    int64_t in_at, sent_at, clock_at;
    uint64_t packets, octets, packets_before; /* under earlier SSRCs */
};

/* Samples on their way into packets of another length, in the far end's law. */
struct packing {
    uint32_t start; /* timestamp of the first */
    int64_t added_at;
    uint16_t filled;
    bool marker;
    /* The last gap: packets that have not come, by their numbers and ours. */
    uint16_t missing, missing_in, missing_out;
    uint32_t come;
    uint8_t samples[MAX_FRAME];
};

/* Between a far end that speaks no G.711 and the rest of the core. */
struct coder {
    const struct codec *codec; /* NULL: G.711 */
    void *decoder, *encoder;
    int16_t type_in;
    uint8_t scale, event_scale; /* units of its RTP clock, and of its events' durations, a sample */
    uint8_t event_other;    /* payload type of events in the other clock; 0: none */
    uint8_t event_scale_in; /* of the event that came last */
    bool timed, heard;
    uint32_t ssrc, wire, time;  /* the newest timestamp as it came, and in samples */
    uint16_t sequence;          /* of the newest packet that was decoded, whose audio lasts until */
    uint32_t until;
};

/* The newest RFC 4733 event that a far end sent, and the one before. `kept`: it began before there was anybody to pass it
 * on to. `tone_kept`: so did the one that is heard in the audio. `hidden`: it began where nothing was passed on.
 */
enum press { PRESS_BEGINS, PRESS_GOES_ON, PRESS_STRAYS };

struct key_in {
    uint32_t timestamp, before, ssrc;
    uint16_t sequence;
    uint8_t code;
    bool seen, kept, tone_kept, hidden;
    enum press newest; /* what the packet that came last was */
    int64_t heard_at;
};

/* A key on its way to a far end that wants it in other packets, or as a tone. Durations in samples. */
struct key_out {
    bool active, tone, ended;
    uint8_t code, volume, ends; /* packets with the end bit still to send */
    uint32_t duration;          /* told by the source so far */
    uint32_t before, segment;   /* where the source's and our present segments begin */
    uint32_t longest;           /* segment of the source */
    uint32_t listed;            /* place in worker.keys */
    uint32_t in_ssrc, in_timestamp, timestamp;
    uint32_t sent;              /* samples */
    int64_t next_at, heard_at;
};

struct endpoint {
    uint32_t handle, slot, listed; /* handle 0: free; listed: place in worker.open */
    uint32_t peer, playback, recording; /* slots, or NONE */
    uint8_t side; /* in the recording: 0 left, 1 right */
    bool configured, receiving, nat, digits, silent;
    int16_t event_in;
    struct line line;
    struct receiver receiver;
    struct latch latch;
    struct key_in key_in;
    struct key_out key_out;
    struct drops drops;
    struct srtp_context *srtp_in, *srtp_out; /* NULL: plain */
    int64_t due_at;     /* when the next packet would come at the highest rate that is taken */
    uint32_t arrivals;  /* since the last sweep, whoever sent them */
    bool paused;        /* a storm: nothing is read until the next sweep */
    bool collided;      /* our SSRC has been changed once for this far end */
    int64_t quiet_from; /* start of the present silence */
    int64_t report_at;  /* next RTCP report */
    int64_t remote_lost, remote_lost_before; /* of all our SSRCs, of the earlier ones */
    double remote_jitter_ms, round_trip_ms;
    bool reported;
    uint64_t cname, random;
    struct packing packing;
    struct coder coder;
    struct kernel_stream kernel;
};

/* Playbacks */

struct listener {
    uint32_t endpoint; /* slot, NONE once it has its report */
    struct play_report report;
    int64_t lost_at_start;
    uint16_t gain; /* of the talk below a mixed prompt, in 256ths */
    uint32_t queue_head, queue_tail;
    uint8_t queue[MIX_QUEUE];
};

struct playback {
    uint32_t handle, slot, listed;
    const struct piece *pieces;
    uint16_t piece_count, piece, once; /* a loop goes on from piece `once` */
    size_t position;                   /* in the present piece */
    int64_t next_at, sent_at; /* next_at: on the exact 20 ms grid */
    uint8_t count;
    bool loop, mix;
    struct listener listeners[MAX_LISTENERS];
};

/* Recordings */

enum layer { VOICE_LEFT, VOICE_RIGHT, PROMPT_LEFT, PROMPT_RIGHT, LAYERS };

struct recording {
    uint32_t handle, slot, listed, endpoints[2];
    int fd;     /* -1: none */
    bool has_come; /* the file, or that there is none */
    bool stereo, voices, truncated, opened, closing;
    int64_t started_at;
    int64_t flushed; /* samples handed to the writer, or given up where it does not keep up */
    int64_t length;  /* final, once closing */
    int64_t written; /* bytes of audio that the file held before the recording went on in it */
    int64_t layer_until[LAYERS];
    struct timeline timelines[2];
    uint8_t layers[LAYERS][RECORD_WINDOW];
};

/* Writer thread: its requests and its event ring */

enum write_type { WRITE_OPEN, WRITE_AUDIO, WRITE_CLOSE, WRITE_SHUT_DOWN };

struct write_request {
    enum write_type type;
    uint32_t handle;
    int fd;
    bool stereo, truncated;
    int64_t position; /* bytes of audio before this; the final number for WRITE_CLOSE, the present one for WRITE_OPEN */
    uint32_t length;
    uint8_t audio[2 * RECORD_CHUNK];
};

struct writer {
    pthread_t thread;
    struct ring requests, events;
    int wake_fd, event_fd, done_fd;
    uint32_t woken_at, kept; /* ring tail at the last wake-up; requests that wait for their files */
    struct written_file *files;
};

/* Dense list of the slots in use, so that ticks visit only those. */
struct slots {
    uint32_t *slot, count;
};

struct worker {
    pthread_t thread;
    struct ring commands, events;
    int wake_fd, event_fd;
    _Atomic bool asleep;
    _Atomic int64_t ticked_at; /* for others to see that it lives */
    bool stopping, told, hurried; /* hurried: ticks are half as long */
    uint32_t capacity;
    int64_t stop_by, now, received_at, silence_ns, packet_ns, next_tick, next_sweep, next_totals, next_recordings;
    int64_t stood_from, timely_by, woke_at, caught_up_at; /* of the last time that it stood still, see worker_set_clock() */
    struct endpoint *endpoints;
    struct playback *playbacks;
    struct recording *recordings;
    struct dtmf *dtmf; /* of each endpoint */
    uint8_t *coders;   /* decoder and encoder of each endpoint: coder_size() */
    struct slots open, playing, recording, keys;
    struct totals totals;
    struct io *io;
    struct writer writer;
    struct kernel_share kernel;
};

/* worker.c. `packet_ns`: the time between two packets at the highest rate that is taken from one far end. */
bool worker_start(struct worker *worker, uint32_t capacity, int64_t silence_ns, int64_t packet_ns, int event_fd,
                  const char *io);
bool worker_take_precedence(struct worker *worker);
int64_t worker_lag_ns(struct worker *worker);
bool worker_stop(struct worker *worker, int64_t patience);
bool worker_command(struct worker *worker, const struct command *command);
struct event *worker_event(struct worker *worker, enum event_type type, uint32_t handle);
void worker_event_done(struct worker *worker);
int64_t clock_ns(void);
void slots_add(struct slots *slots, uint32_t slot, uint32_t *listed);
/* Takes out by moving the last one into its place; returns that one's slot. */
uint32_t slots_remove(struct slots *slots, uint32_t listed);

/* endpoint.c */
void endpoint_open(struct worker *worker, const struct command *command);
void endpoint_configure(struct worker *worker, struct endpoint *endpoint, const struct remote *remote);
void endpoint_close(struct worker *worker, struct endpoint *endpoint);
void endpoint_connect(struct worker *worker, struct endpoint *a, struct endpoint *b, bool digits);
void endpoint_disconnect(struct worker *worker, struct endpoint *endpoint);
void endpoint_receive(struct worker *worker, uint32_t slot, bool rtcp, uint8_t *data, size_t length,
                      const union address *from);
void endpoint_sweep(struct worker *worker, struct endpoint *endpoint);
struct endpoint *endpoint_of(struct worker *worker, uint32_t handle);
/* G.711 that counts. `relayed`: the peer has it already. */
void endpoint_voice(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp, bool relayed);

/* line.c: sending with one continuous numbering */
void line_relay(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool event);
bool line_has_key(const struct line *line, const struct rtp *rtp);
void line_rename(struct endpoint *to);
void line_skip(struct worker *worker, struct endpoint *to, const struct rtp *rtp);
/* Talk that goes out in a mix, where none waits if it is the `first`. */
void line_mix(struct line *line, const struct rtp *rtp, bool first);
/* 20 ms of a prompt, whose first or the first after a stall `begins`; the timestamp that they have for the far end. */
uint32_t line_frame(struct worker *worker, struct endpoint *to, const uint8_t *alaw, enum source source, bool begins);
/* Less than that, of a mix that ends. */
void line_rest(struct worker *worker, struct endpoint *to, const uint8_t *alaw, size_t count, bool begins);
void line_send(struct worker *worker, struct endpoint *to, uint8_t *packet, size_t length);
/* A packet made of `codes`; `table` as below. */
void line_audio(struct worker *worker, struct endpoint *to, bool marker, uint16_t sequence, uint32_t timestamp,
                const uint8_t *codes, size_t count, const uint8_t *table);

/* packing.c: packets of another length than came. `table`: to the line's law, NULL where it is that already */
void packing_add(struct worker *worker, struct endpoint *to, uint32_t at, bool marker, const uint8_t *samples,
                 size_t count, const uint8_t *table);
void packing_relay(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool marker, const uint8_t *table);
/* One that comes after its turn: as it is, where its number was kept. */
void packing_late(struct worker *worker, struct endpoint *to, const struct rtp *rtp, const uint8_t *table);
void packing_leave_gap(struct endpoint *to, uint16_t count);
/* What waits goes out in a packet as short as it is. */
void packing_flush(struct worker *worker, struct endpoint *to);

uint32_t line_event_begins(struct worker *worker, struct endpoint *to, const struct rtp *rtp);
/* `payload`: code, end bit and volume; `duration` in samples. */
void line_event(struct worker *worker, struct endpoint *to, const uint8_t *payload, uint32_t duration, uint32_t timestamp,
                bool marker);
/* The event goes on in the packets it comes in, without `hidden` samples of its beginning; one that begins unheard shows now. */
void line_keep_key(struct line *line, uint32_t ssrc, uint32_t in_timestamp, uint32_t timestamp, uint32_t hidden);
void line_event_shows(struct worker *worker, struct endpoint *to, const struct rtp *rtp, uint32_t hidden);

/* transcoding.c */
/* NULL: this build has no more of them, or not this one. */
const char *codec_name(int index);
const struct codec *codec_named(const char *name);
size_t coder_size(void);
void coder_configure(struct worker *worker, struct endpoint *endpoint, const struct remote *remote);
/* Finds how much audio a packet holds; false: it is none of the codec's. */
bool coder_understands(const struct coder *coder, struct rtp *rtp);
/* Turns a packet's times into samples. */
void coder_clock(struct coder *coder, struct rtp *rtp, bool event);
/* Audio of the codec; false: it is damaged. */
bool coder_receive(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp);
/* Bytes of payload made of at most MAX_FRAME samples. */
size_t coder_encode(const struct coder *coder, const uint8_t *alaw, size_t count, uint8_t *payload);

/* telephone_event.c */
void telephone_event_receive(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp);
/* Audio of one who sends no events. */
void telephone_event_listen(struct worker *worker, struct endpoint *endpoint, const struct rtp *rtp);
/* False: the packet may be relayed as it is. */
bool telephone_event_relay(struct worker *worker, const struct endpoint *from, struct endpoint *to, const struct rtp *rtp);
/* Is the audio of `from` now the tone of a key that is not passed on? */
bool telephone_event_sounds(const struct worker *worker, const struct endpoint *from);
void telephone_event_end(struct worker *worker, struct endpoint *to);
void telephone_event_tick(struct worker *worker);

/* rtcp.c */
void receiver_update(struct receiver *receiver, const struct rtp *rtp, bool event, int64_t now);
int64_t receiver_lost(const struct receiver *receiver);
double receiver_jitter_ms(const struct receiver *receiver);
/* Nanoseconds to the next report. */
int64_t rtcp_interval(struct endpoint *endpoint, bool first);
uint64_t rtcp_random(struct endpoint *endpoint);
void rtcp_report(struct worker *worker, struct endpoint *endpoint);
/* Says goodbye (RFC 3550 6.3.7) to whom something was sent. */
void rtcp_leave(struct worker *worker, struct endpoint *endpoint);
/* Whether what arrived for RTP is RTCP (RFC 5761 4). */
bool rtcp_is_one(const uint8_t *data, size_t length);
/* False: it is no compound packet. */
bool rtcp_receive(struct endpoint *endpoint, const uint8_t *data, size_t length, int64_t now);

/* playback.c */
void playback_start(struct worker *worker, const struct command *command);
void playback_stop(struct worker *worker, uint32_t handle);
void playback_leave(struct worker *worker, struct endpoint *endpoint);
void playback_tick(struct worker *worker);
/* Talk towards `to` while a prompt plays there: true where it was taken or must not be heard. */
bool playback_takes(struct worker *worker, struct endpoint *to, const struct rtp *rtp, bool event);

/* recording.c */
void recording_start(struct worker *worker, const struct command *command);
void recording_file(struct worker *worker, const struct command *command);
void recording_voices(struct worker *worker, uint32_t handle);
void recording_close(struct worker *worker, const struct command *command);
void recording_leave(struct worker *worker, struct endpoint *endpoint);
/* Nobody will say any more which they are. */
void recording_give_up_files(struct worker *worker);
void recording_voice(struct worker *worker, struct endpoint *from, const struct rtp *rtp);
/* A packet of the same stream that is no voice: a digit, comfort noise. */
void recording_other(struct worker *worker, struct endpoint *from, const struct rtp *rtp);
void recording_prompt(struct worker *worker, const struct playback *playback, const uint8_t *alaw, int64_t at);
void recording_tick(struct worker *worker);

/* writer.c */
bool writer_start(struct writer *writer, int event_fd);
bool writer_stop(struct writer *writer, int64_t until);
void writer_wake(struct writer *writer);

#endif
