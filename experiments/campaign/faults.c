/* A layer between a process and its files that fails on purpose, for LD_PRELOAD. It counts what is written or read
 * below one folder, and from a given number on it refuses, or kills the process in the middle of a write. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

enum { NOTHING, FULL, UNREADABLE, KILL, CLOCK };

static char root[PATH_MAX];
static int kind = NOTHING;
static long at = 0;
static double step = 0;
static long writes = 0, reads = 0, clocks = 0, injected = 0;

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

void campaign_arm(const char *folder, int what, long number, double seconds) {
    snprintf(root, sizeof root, "%s", folder);
    kind = what; at = number; step = seconds;
    writes = reads = clocks = injected = 0;
}
long campaign_writes(void) { return writes; }
long campaign_reads(void) { return reads; }
long campaign_injected(void) { return injected; }

static int below(const char *path) {
    char whole[2 * PATH_MAX];
    if (!root[0]) return 0;
    if (path[0] != '/') {
        char here[PATH_MAX];
        if (!getcwd(here, sizeof here)) return 0;
        snprintf(whole, sizeof whole, "%s/%s", here, path);
        path = whole;
    }
    return strncmp(path, root, strlen(root)) == 0;
}

static int ours(int descriptor) {
    char link[64], path[PATH_MAX];
    if (!root[0]) return 0;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return below(path);
}

/* Count a write; whether it is to fail. A full disk stays full. */
static int refused(void) {
    long number = __sync_add_and_fetch(&writes, 1);
    if (kind == FULL && number >= at) {
        __sync_add_and_fetch(&injected, 1);
        errno = ENOSPC;
        return 1;
    }
    return 0;
}
static int dying(void) { return kind == KILL && writes == at; }
/* None, half or all of the data: by the number. */
static size_t share(size_t size) { return writes % 3 == 0 ? 0 : writes % 3 == 1 ? size / 2 : size; }
static void die(void) { kill(getpid(), SIGKILL); for (;;) pause(); }

static int unreadable(void) {
    long number = __sync_add_and_fetch(&reads, 1);
    if (kind == UNREADABLE && number >= at && (step == 0 || number < at + (long)step)) {
        __sync_add_and_fetch(&injected, 1);
        errno = EIO;
        return 1;
    }
    return 0;
}

ssize_t write(int descriptor, const void *data, size_t size) {
    if (ours(descriptor)) {
        if (refused()) return -1;
        if (dying()) { NEXT(write)(descriptor, data, share(size)); die(); }
    }
    return NEXT(write)(descriptor, data, size);
}
ssize_t pwrite(int descriptor, const void *data, size_t size, off_t place) {
    if (ours(descriptor)) {
        if (refused()) return -1;
        if (dying()) { NEXT(pwrite)(descriptor, data, share(size), place); die(); }
    }
    return NEXT(pwrite)(descriptor, data, size, place);
}
ssize_t pwrite64(int descriptor, const void *data, size_t size, off64_t place) {
    if (ours(descriptor)) {
        if (refused()) return -1;
        if (dying()) { NEXT(pwrite64)(descriptor, data, share(size), place); die(); }
    }
    return NEXT(pwrite64)(descriptor, data, size, place);
}
ssize_t writev(int descriptor, const struct iovec *parts, int count) {
    if (ours(descriptor)) {
        if (refused()) return -1;
        if (dying()) die();
    }
    return NEXT(writev)(descriptor, parts, count);
}
size_t fwrite(const void *data, size_t size, size_t count, FILE *stream) {
    if (ours(fileno(stream))) {
        if (refused()) return 0;
        if (dying()) { NEXT(fwrite)(data, size, share(count), stream); fflush(stream); die(); }
    }
    return NEXT(fwrite)(data, size, count, stream);
}
ssize_t sendfile(int to, int from, off_t *place, size_t size) {
    if (ours(to)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(sendfile)(to, from, place, size);
}
ssize_t sendfile64(int to, int from, off64_t *place, size_t size) {
    if (ours(to)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(sendfile64)(to, from, place, size);
}
ssize_t copy_file_range(int from, off64_t *start, int to, off64_t *place, size_t size, unsigned flags) {
    if (ours(to)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(copy_file_range)(from, start, to, place, size, flags);
}
int ftruncate(int descriptor, off_t size) {
    if (ours(descriptor)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(ftruncate)(descriptor, size);
}
int ftruncate64(int descriptor, off64_t size) {
    if (ours(descriptor)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(ftruncate64)(descriptor, size);
}
int mkdir(const char *path, mode_t mode) {
    if (below(path)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(mkdir)(path, mode);
}
int rename(const char *from, const char *to) {
    if (below(to)) { if (refused()) return -1; if (dying()) die(); }
    return NEXT(rename)(from, to);
}
int unlink(const char *path) {  /* works on a full disk; a kill may come before it */
    if (below(path)) { __sync_add_and_fetch(&writes, 1); if (dying()) die(); }
    return NEXT(unlink)(path);
}

#define OPENS(name) \
    int name(const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
        if ((flags & O_CREAT) && below(path) && access(path, F_OK) != 0) { if (refused()) return -1; if (dying()) die(); } \
        return NEXT(name)(path, flags, mode); \
    }
OPENS(open)
OPENS(open64)
#define OPENSAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        mode_t mode = 0; \
        if (flags & (O_CREAT | __O_TMPFILE)) { va_list more; va_start(more, flags); mode = va_arg(more, mode_t); va_end(more); } \
        if ((flags & O_CREAT) && below(path) && access(path, F_OK) != 0) { if (refused()) return -1; if (dying()) die(); } \
        return NEXT(name)(folder, path, flags, mode); \
    }
OPENSAT(openat)
OPENSAT(openat64)

ssize_t read(int descriptor, void *data, size_t size) {
    if (ours(descriptor) && unreadable()) return -1;
    return NEXT(read)(descriptor, data, size);
}
ssize_t pread(int descriptor, void *data, size_t size, off_t place) {
    if (ours(descriptor) && unreadable()) return -1;
    return NEXT(pread)(descriptor, data, size, place);
}
ssize_t pread64(int descriptor, void *data, size_t size, off64_t place) {
    if (ours(descriptor) && unreadable()) return -1;
    return NEXT(pread64)(descriptor, data, size, place);
}
ssize_t readv(int descriptor, const struct iovec *parts, int count) {
    if (ours(descriptor) && unreadable()) return -1;
    return NEXT(readv)(descriptor, parts, count);
}

/* The wall clock steps once, by `step` seconds, at its call number `at`; the monotonic clock never does. */
static double stepped(void) {
    if (kind != CLOCK) return 0;
    long number = __sync_add_and_fetch(&clocks, 1);
    if (number == at) __sync_add_and_fetch(&injected, 1);
    return number >= at ? step : 0;
}
long campaign_clocks(void) { return clocks; }
int clock_gettime(clockid_t clock, struct timespec *now) {
    int code = NEXT(clock_gettime)(clock, now);
    if (clock == CLOCK_REALTIME) now->tv_sec += (time_t)stepped();
    return code;
}
int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    int code = NEXT(gettimeofday)(now, zone);
    if (now) now->tv_sec += (time_t)stepped();
    return code;
}
time_t time(time_t *place) {
    time_t now = NEXT(time)(NULL) + (time_t)stepped();
    if (place) *place = now;
    return now;
}
