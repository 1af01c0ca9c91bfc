/* A power cut at a chosen moment: the process kills itself at its n-th call that changes a file, before it is made.
 *
 * Loaded with LD_PRELOAD. `cut_arm(n)` starts counting; n = 0 only counts, and `cut_count()` says how many there were.
 * In a program that knows nothing of it, $CUT_AT is n, and the counting starts with the program.
 * Of a cut write the first half reaches the file, as of a sector that was being written. SQLite writes with
 * pwrite(2); write(2) is not counted, because pipes and logs go through it.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static atomic_long calls;
static long cut_at;
static atomic_int armed;

void cut_arm(long n) {
    atomic_store(&calls, 0);
    cut_at = n;
    atomic_store(&armed, 1);
}

__attribute__((constructor)) static void arm_from_environment(void) {
    const char *words = getenv("CUT_AT");
    if (words) cut_arm(atol(words));
}

long cut_count(void) { return atomic_load(&calls); }

/* Says whether this call is the one at which the power goes. */
static int is_the_cut(void) { return atomic_load(&armed) && atomic_fetch_add(&calls, 1) + 1 == cut_at; }

static void power_off(void) {
    kill(getpid(), SIGKILL);
    for (;;) pause();
}

#define REAL(name, type, ...)                                          \
    static type (*real)(__VA_ARGS__);                                  \
    if (!real) real = (type (*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    REAL(pwrite64, ssize_t, int, const void *, size_t, off64_t);
    if (is_the_cut()) {
        (void)real(fd, data, length / 2, offset);
        power_off();
    }
    return real(fd, data, length, offset);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) { return pwrite64(fd, data, length, offset); }

int fdatasync(int fd) {
    REAL(fdatasync, int, int);
    if (is_the_cut()) power_off();
    return real(fd);
}

int fsync(int fd) {
    REAL(fsync, int, int);
    if (is_the_cut()) power_off();
    return real(fd);
}

int ftruncate64(int fd, off64_t length) {
    REAL(ftruncate64, int, int, off64_t);
    if (is_the_cut()) power_off();
    return real(fd, length);
}

int ftruncate(int fd, off_t length) { return ftruncate64(fd, length); }

int unlink(const char *path) {
    REAL(unlink, int, const char *);
    if (is_the_cut()) power_off();
    return real(path);
}

int rename(const char *from, const char *to) {
    REAL(rename, int, const char *, const char *);
    if (is_the_cut()) power_off();
    return real(from, to);
}
