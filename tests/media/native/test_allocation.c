/* The core where memory runs out: whichever allocation fails, it starts or says that it can't, and keeps nothing. So it is
 * with the keys of SRTP.
 *
 * Compiled by tests/media/native/test_core.py with `calloc` replaced by failing_calloc(), and so what OpenSSL's ciphers
 * are made by, under the address sanitizer, which tells of every leak. What the writer keeps is in test_writer.c, the face
 * to Python in test_allocation_by_python.py; nothing else of the core allocates.
 */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "../../../media/native/core.h"

static int left; /* allocations until one fails; 0: none does any more */

void *failing_calloc(size_t count, size_t size)
{
    if (left && !--left)
        return NULL;
    void *memory = malloc(count * size);
    return memory ? memset(memory, 0, count * size) : NULL;
}

#ifdef HAVE_SRTP
void *EVP_CIPHER_CTX_new_(void) __asm__("EVP_CIPHER_CTX_new");

void *failing_cipher(void)
{
    return left && !--left ? NULL : EVP_CIPHER_CTX_new_();
}
#endif

static int descriptors(void)
{
    int count = 0;
    DIR *folder = opendir("/proc/self/fd");
    while (folder && readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* True: it came to the failing allocation. */
static bool try_to_start(int failing, const char *io, int *started)
{
    static struct worker worker;
    memset(&worker, 0, sizeof worker);
    int event_fd = eventfd(0, EFD_NONBLOCK);
    left = failing;
    bool up = worker_start(&worker, 16, SECOND_NS, SECOND_NS / 500, event_fd, io);
    bool failed = !left;
    left = 0;
    *started += up;
    if (up)
        worker_stop(&worker, 60 * SECOND_NS);
    close(event_fd);
    return failed;
}

/* True: it came to the failing allocation, and there is no context. */
static bool try_to_have_a_key(int failing, const char *suite, bool sending)
{
    static const uint8_t key[44] = {7};
    left = failing;
    struct srtp_context *context = srtp_context_create(suite, key, strstr(suite, "GCM") ? 44 : 30, sending);
    bool failed = !left;
    left = 0;
    if (failed && context)
        exit(1);
    srtp_context_free(context);
    return failed;
}

/* With "epoll" only that. */
int main(int argc, char **argv)
{
    const char *const kinds[] = {"epoll", argc > 1 ? argv[1] : "auto"}, *suite;
    int before = descriptors();
    for (size_t kind = 0; kind < 2; kind++) {
        int failing = 1, started = 0;
        while (try_to_start(failing, kinds[kind], &started))
            failing++;
        if (failing < 10 || started < 1 || descriptors() != before) {
            fprintf(stderr, "%s: %d allocations, started %d times\n", kinds[kind], failing - 1, started);
            return 1;
        }
    }
    srtp_set_up();
    for (int i = 0; (suite = srtp_suite(i)); i++)
        for (int sending = 0; sending < 2; sending++) {
            int failing = 1;
            while (try_to_have_a_key(failing, suite, sending))
                failing++;
            if (failing < 5) { /* the context, and for RTP and RTCP a cipher and its state */
                fprintf(stderr, "%s: %d allocations\n", suite, failing - 1);
                return 1;
            }
        }
    puts("ok");
    return 0;
}
