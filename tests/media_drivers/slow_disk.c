/* Loaded before libc (LD_PRELOAD) into a media server under test: its disk stands still while the file DISK_STOPS is there. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset)
{
    static ssize_t (*next)(int, const void *, size_t, off_t);
    const char *stops = getenv("DISK_STOPS");
    if (!next)
        next = dlsym(RTLD_NEXT, "pwrite");
    while (stops && access(stops, F_OK) == 0)
        usleep(5000);
    return next(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off_t offset)
{
    return pwrite(fd, data, length, offset);
}
