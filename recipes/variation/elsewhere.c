/* Preloaded into every dynamically linked program of a build: it is later than it is, and folders are read backwards.
   A result that hangs on the clock, or on the order in which a file system happens to list names, then changes. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

enum { AHEAD = 400 * 86400 + 40000 }; /* seconds */

int clock_gettime(clockid_t clock, struct timespec *now)
{
    int (*real)(clockid_t, struct timespec *) = dlsym(RTLD_NEXT, "clock_gettime");
    int result = real(clock, now);

    if (result == 0 && clock == CLOCK_REALTIME)
        now->tv_sec += AHEAD;
    return result;
}

time_t time(time_t *store)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (store)
        *store = now.tv_sec;
    return now.tv_sec;
}

int gettimeofday(struct timeval *restrict store, void *restrict zone)
{
    struct timespec now;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    store->tv_sec = now.tv_sec;
    store->tv_usec = now.tv_nsec / 1000;
    return 0;
}

/* A folder that somebody is reading: all of its entries, and how many have not been handed out. */
struct listing {
    DIR *folder;
    struct dirent **entries;
    size_t left, count;
    struct listing *next;
};

static struct listing *listings;

static struct listing *listing_of(DIR *folder)
{
    struct dirent *(*real)(DIR *) = dlsym(RTLD_NEXT, "readdir");
    struct listing *found = listings;
    struct dirent *entry;

    while (found && found->folder != folder)
        found = found->next;
    if (found)
        return found;
    found = calloc(1, sizeof *found);
    found->folder = folder;
    while ((entry = real(folder))) {
        found->entries = realloc(found->entries, (found->count + 1) * sizeof *found->entries);
        found->entries[found->count] = malloc(entry->d_reclen);
        memcpy(found->entries[found->count++], entry, entry->d_reclen);
    }
    found->left = found->count;
    found->next = listings;
    listings = found;
    return found;
}

static void forget(DIR *folder)
{
    struct listing **at = &listings, *gone;

    while (*at && (*at)->folder != folder)
        at = &(*at)->next;
    if (!(gone = *at))
        return;
    *at = gone->next;
    while (gone->count)
        free(gone->entries[--gone->count]);
    free(gone->entries);
    free(gone);
}

struct dirent *readdir(DIR *folder)
{
    struct listing *found = listing_of(folder);

    return found->left ? found->entries[--found->left] : NULL;
}

int readdir_r(DIR *folder, struct dirent *restrict store, struct dirent **restrict result)
{
    struct dirent *entry = readdir(folder);

    *result = entry ? memcpy(store, entry, entry->d_reclen) : NULL;
    return 0;
}

void rewinddir(DIR *folder)
{
    void (*real)(DIR *) = dlsym(RTLD_NEXT, "rewinddir");

    forget(folder);
    real(folder);
}

int closedir(DIR *folder)
{
    int (*real)(DIR *) = dlsym(RTLD_NEXT, "closedir");

    forget(folder);
    return real(folder);
}
