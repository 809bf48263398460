/* In-band digits against ITU-T Q.24: what must be taken, what must not, and speech (given as a file of A-law). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../media/native/dtmf.c"
#include "../../../media/native/g711.h"
#include "check.h"

static struct dtmf dtmf;
static uint32_t timestamp;
static char told[64];
static uint32_t told_count;
static uint32_t seed = 1;
static float audio[8000 * 20];
static uint32_t audio_end;

static double uniform(void)
{
    seed = seed * 1664525u + 1013904223u;
    return (seed >> 8) / 16777216.0;
}

static double gaussian(void)
{
    return sqrt(-2 * log(uniform() + 1e-9)) * cos(2 * M_PI * uniform());
}

/* The amplitude of a tone of `dbm0` (ITU-T G.711: a sine that just fills the law has +3.14). */
static double amplitude_of(double dbm0)
{
    return 32256 * pow(10, (dbm0 - 3.14) / 20);
}

static void start(void)
{
    memset(&dtmf, 0, sizeof dtmf);
    told_count = audio_end = 0;
    timestamp = 12345;
}

static void silence(double ms)
{
    for (uint32_t i = 0; i < ms * 8; i++)
        audio[audio_end++] = 0;
}

struct tone {
    double ms, low_dbm0, high_dbm0, low_error, high_error; /* of the frequencies, in parts of one */
};

static void press(char key, struct tone tone)
{
    long place = strchr(keys, key) - keys;
    double low = (double)frequencies[place / 4] * (1 + tone.low_error);
    double high = (double)frequencies[4 + place % 4] * (1 + tone.high_error), phase = uniform() * 6.28;
    for (uint32_t i = 0; i < tone.ms * 8; i++)
        audio[audio_end++] = (float)(amplitude_of(tone.low_dbm0) * sin(2 * M_PI * low * i / 8000 + phase)
                                     + amplitude_of(tone.high_dbm0) * sin(2 * M_PI * high * i / 8000));
}

static void noise(double dbm0)
{
    double level = amplitude_of(dbm0) / sqrt(2);
    for (uint32_t i = 0; i < audio_end; i++)
        audio[i] += (float)(level * gaussian());
}

static void listen_to(const uint8_t *codes, uint32_t count)
{
    char key = dtmf_listen(&dtmf, timestamp, codes, count, alaw_linear);
    timestamp += count;
    if (key && told_count < sizeof told - 1)
        told[told_count++] = key;
    told[told_count] = 0;
}

/* What was heard of everything so far, in packets of 20 ms. */
static const char *heard(void)
{
    told[0] = 0;
    for (uint32_t at = 0; at + 160 <= audio_end; at += 160) {
        uint8_t codes[160];
        for (uint32_t i = 0; i < 160; i++)
            codes[i] = alaw_encode((int)audio[at + i]);
        listen_to(codes, sizeof codes);
    }
    return told;
}

/* How many of ten presses of each of the sixteen keys are told, at any place of the packets; wrong ones count double minus. */
static int told_of_160(struct tone tone, double noise_dbm0)
{
    int right = 0;
    for (int turn = 0; turn < 10; turn++) {
        start();
        for (int key = 0; key < 16; key++) {
            silence(60 + 20 * uniform());
            press(keys[key], tone);
        }
        silence(100);
        if (noise_dbm0 > -100)
            noise(noise_dbm0);
        heard();
        for (uint32_t i = 0, key = 0; i < told_count; i++) {
            while (key < 16 && keys[key] != told[i])
                key++;
            right += key < 16 ? 1 : -2;
            key++;
        }
    }
    return right;
}

static const struct tone plain = {50, -8, -8, 0, 0};

static void test_frequencies_within_1_5_percent_are_taken_and_3_5_percent_off_are_not(void)
{
    static const double within[] = {0, 0.005, 0.01, 0.015}, off[] = {0.035, 0.04, 0.05, 0.06};
    for (int i = 0; i < 4; i++)
        for (int sign = -1; sign <= 1; sign += 2) {
            struct tone both = {50, -8, -8, sign * within[i], sign * within[i]};
            struct tone apart = {50, -8, -8, sign * within[i], -sign * within[i]};
            CHECK(told_of_160(both, -200) == 160 && told_of_160(apart, -200) == 160);
            struct tone low = {50, -8, -8, sign * off[i], 0}, high = {50, -8, -8, 0, sign * off[i]};
            CHECK(told_of_160(low, -200) == 0 && told_of_160(high, -200) == 0);
        }
}

static void test_levels_from_0_to_minus_25_dbm0_are_taken_and_minus_29_is_not(void)
{
    for (int dbm0 = 0; dbm0 >= -25; dbm0 -= 5)
        CHECK(told_of_160((struct tone){50, dbm0, dbm0, 0, 0}, -200) == 160);
    CHECK(told_of_160((struct tone){50, -29, -29, 0, 0}, -200) == 0);
    CHECK(told_of_160((struct tone){50, -55, -55, 0, 0}, -200) == 0);
}

static void test_twist_up_to_4_db_high_and_8_db_low_is_taken_and_far_beyond_it_is_not(void)
{
    CHECK(told_of_160((struct tone){50, -12, -8, 0.015, -0.015}, -200) == 160);
    CHECK(told_of_160((struct tone){50, -8, -16, 0.015, -0.015}, -200) == 160);
    CHECK(told_of_160((struct tone){50, -17, -8, 0, 0}, -200) == 0);
    CHECK(told_of_160((struct tone){50, -8, -21, 0, 0}, -200) == 0);
}

static void test_40_ms_are_a_digit_and_23_ms_are_none(void)
{
    CHECK(told_of_160((struct tone){40, -8, -8, 0.015, 0.015}, -200) == 160);
    CHECK(told_of_160((struct tone){40, -25, -25, 0, 0}, -200) == 160);
    CHECK(told_of_160((struct tone){23, -8, -8, 0, 0}, -200) == 0);
    CHECK(told_of_160((struct tone){23, 0, 0, 0, 0}, -200) == 0);
}

static void test_the_same_key_twice_with_a_pause_of_40_ms_is_two_digits(void)
{
    for (int turn = 0; turn < 20; turn++) {
        start();
        silence(50 + turn);
        for (int press_count = 0; press_count < 5; press_count++) {
            press('5', (struct tone){50, -8, -8, 0, 0}); /* 93 ms a digit is fast enough (Q.24) */
            silence(43);
        }
        silence(60);
        CHECK(!strcmp(heard(), "55555"));
    }
}

static void test_an_interruption_of_10_ms_makes_no_second_digit(void)
{
    for (int turn = 0; turn < 40; turn++) {
        start();
        silence(50 + turn / 2.0);
        press('8', plain);
        silence(10);
        press('8', plain);
        silence(100);
        CHECK(!strcmp(heard(), "8"));
    }
}

static void test_a_key_held_for_seconds_is_one_digit(void)
{
    start();
    press('0', (struct tone){5000, -8, -8, 0.01, 0.01});
    silence(100);
    CHECK(!strcmp(heard(), "0"));
}

static void test_noise_15_db_below_the_digit_does_no_harm(void)
{
    struct tone tone = {50, -10, -10, 0, 0}; /* together -7 dBm0 */
    CHECK(told_of_160(tone, -7 - 24) == 160);
    CHECK(told_of_160(tone, -7 - 18) >= 159);
    CHECK(told_of_160(tone, -7 - 15) >= 152);
}

/* Table A-1, AT&T: echoes up to 20 ms late and 10 dB down neither hide nor make a digit. */
static void test_echoes_do_no_harm(void)
{
    for (uint32_t late = 40; late <= 160; late += 40)
        for (int of_23_ms = 0; of_23_ms < 2; of_23_ms++) {
            start();
            for (int key = 0; key < 16; key++) {
                silence(60 + 20 * uniform());
                press(keys[key], (struct tone){of_23_ms ? 23 : 50, -8, -8, 0, 0});
            }
            silence(100);
            for (uint32_t i = audio_end; i-- > late;)
                audio[i] += audio[i - late] * 0.316f;
            CHECK(!strcmp(heard(), of_23_ms ? "" : keys));
        }
}

/* Some 6 dB below each of the key's tones: with -8 dBm0 of a key that is the -14 of a loud one. */
static void test_a_dial_tone_below_the_digit_does_no_harm(void)
{
    static const double tones[][3] = {{450, 0, -6}, {425, 0, -6}, {400, 0, -6}, {350, 440, -9}};
    for (int i = 0; i < 4; i++)
        for (int dbm0 = -8; dbm0 >= -20; dbm0 -= 6) {
            start();
            for (int key = 0; key < 16; key++) {
                silence(60 + 20 * uniform());
                press(keys[key], (struct tone){50, dbm0, dbm0, 0, 0});
            }
            silence(100);
            for (uint32_t n = 0; n < audio_end; n++)
                for (int f = 0; f < 2; f++)
                    audio[n] += (float)(amplitude_of(dbm0 + tones[i][2]) * sin(2 * M_PI * tones[i][f] * n / 8000));
            CHECK(!strcmp(heard(), keys));
        }
}

/* Who sends nothing between two keys (RFC 3551 4.1) has pressed two; a packet that comes late or twice makes none. */
static void test_silence_suppression_parts_keys_and_stragglers_do_not(void)
{
    uint8_t codes[8][160];
    start();
    press('4', (struct tone){160, -8, -8, 0, 0});
    for (uint32_t i = 0; i < 8 * 160; i++)
        codes[i / 160][i % 160] = alaw_encode((int)audio[i]);
    for (int turn = 0; turn < 3; turn++) {
        uint32_t began = timestamp;
        for (int i = 0; i < 8; i++)
            listen_to(codes[i], 160);
        CHECK(told_count == (uint32_t)turn + 1);
        for (int i = 7; i >= 0; i--) {
            timestamp = began + (uint32_t)i * 160;
            listen_to(codes[i], 160);
        }
        CHECK(told_count == (uint32_t)turn + 1);
        timestamp = began + 1280 + 800;
    }
    CHECK(!strcmp(told, "444"));
}

static void test_a_lost_packet_within_a_key_neither_hides_nor_doubles_it(void)
{
    for (uint32_t lost = 5; lost < 9; lost++) {
        start();
        silence(100);
        press('6', (struct tone){200, -8, -8, 0, 0});
        silence(100);
        told[0] = 0;
        for (uint32_t at = 0; at + 160 <= audio_end; at += 160) {
            uint8_t codes[160];
            for (uint32_t i = 0; i < 160; i++)
                codes[i] = alaw_encode((int)audio[at + i]);
            if (at / 160 == lost)
                timestamp += 160;
            else
                listen_to(codes, sizeof codes);
        }
        CHECK(!strcmp(told, "6"));
    }
}

static void test_any_length_of_packets_is_heard_alike(void)
{
    static const uint32_t lengths[] = {80, 240, 480, 37};
    for (int i = 0; i < 4; i++) {
        uint8_t codes[480];
        start();
        silence(70);
        press('9', plain);
        silence(70);
        press('#', plain);
        silence(200);
        told[0] = 0;
        for (uint32_t at = 0; at + lengths[i] <= audio_end; at += lengths[i]) {
            for (uint32_t n = 0; n < lengths[i]; n++)
                codes[n] = alaw_encode((int)audio[at + n]);
            listen_to(codes, lengths[i]);
        }
        CHECK(!strcmp(told, "9#"));
    }
}

/* Ringing, busy and fax tones, chords, sweeps and noise of all colours: nothing of it is a key. */
static void test_tones_music_and_noise_are_no_digits(void)
{
    static const double tones[][2] = {{450, 0}, {440, 480}, {480, 620}, {350, 440}, {400, 450}, {425, 0}, {2100, 0},
                                      {1100, 0}, {697, 0}, {1336, 0}, {697, 852}, {1209, 1477}, {2600, 697}};
    start();
    for (uint32_t i = 0; i < sizeof tones / sizeof *tones; i++)
        for (int n = 0; n < 4000; n++)
            audio[audio_end++] = (float)(8000 * sin(2 * M_PI * tones[i][0] * n / 8000)
                                         + (tones[i][1] > 0 ? 8000 * sin(2 * M_PI * tones[i][1] * n / 8000) : 0));
    CHECK(!strcmp(heard(), ""));
    for (int round = 0; round < 200; round++) { /* chords of four notes with two harmonics each, for 200 times 5 s */
        start();
        for (int chord = 0; chord < 10; chord++) {
            double notes[4];
            for (int i = 0; i < 4; i++)
                notes[i] = 110 * pow(2, (double)(int)(uniform() * 48) / 12);
            for (int n = 0; n < 4000; n++) {
                double sum = 0;
                for (int i = 0; i < 4; i++)
                    sum += sin(2 * M_PI * notes[i] * n / 8000) + 0.5 * sin(4 * M_PI * notes[i] * n / 8000);
                audio[audio_end++] = (float)(3000 * sum * exp(-n / 3000.0));
            }
        }
        CHECK(!strcmp(heard(), ""));
    }
    for (int round = 0; round < 60; round++) { /* 10 minutes of noise: white, then through a resonance */
        double y1 = 0, y2 = 0, at = 300 + uniform() * 1500, radius = round % 2 ? 0.98 : 0;
        start();
        for (int n = 0; n < 80000; n++) {
            double y = 2000 * gaussian() + 2 * radius * cos(2 * M_PI * at / 8000) * y1 - radius * radius * y2;
            y2 = y1;
            y1 = y;
            audio[audio_end++] = (float)fmax(-32000, fmin(32000, y));
        }
        CHECK(!strcmp(heard(), ""));
    }
}

/* `test_dtmf FILE`: the digits told in a file of A-law, for speech that the caller makes. */
static int listen_to_file(const char *path)
{
    uint8_t codes[160];
    FILE *file = fopen(path, "rb");
    CHECK(file);
    start();
    while (fread(codes, 1, sizeof codes, file) == sizeof codes)
        listen_to(codes, sizeof codes);
    fclose(file);
    puts(told);
    return 0;
}

int main(int argc, char **argv)
{
    g711_init();
    dtmf_init();
    if (argc > 1)
        return listen_to_file(argv[1]);
    test_frequencies_within_1_5_percent_are_taken_and_3_5_percent_off_are_not();
    test_levels_from_0_to_minus_25_dbm0_are_taken_and_minus_29_is_not();
    test_twist_up_to_4_db_high_and_8_db_low_is_taken_and_far_beyond_it_is_not();
    test_40_ms_are_a_digit_and_23_ms_are_none();
    test_the_same_key_twice_with_a_pause_of_40_ms_is_two_digits();
    test_an_interruption_of_10_ms_makes_no_second_digit();
    test_a_key_held_for_seconds_is_one_digit();
    test_noise_15_db_below_the_digit_does_no_harm();
    test_echoes_do_no_harm();
    test_a_dial_tone_below_the_digit_does_no_harm();
    test_silence_suppression_parts_keys_and_stragglers_do_not();
    test_a_lost_packet_within_a_key_neither_hides_nor_doubles_it();
    test_any_length_of_packets_is_heard_alike();
    test_tones_music_and_noise_are_no_digits();
    puts("ok");
    return 0;
}
