/* Chooses how sockets are read and written. */
#include "io.h"

#include <string.h>

struct io *io_create(uint32_t capacity, int wake_fd, const char *name)
{
    const struct io_kind *const kinds[] = {&io_uring, &io_epoll};
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (strcmp(name, "auto") && strcmp(name, kinds[i]->name))
            continue;
        struct io *io = kinds[i]->create(capacity, wake_fd);
        if (io) {
            io->kind = kinds[i];
            return io;
        }
    }
    return NULL;
}
