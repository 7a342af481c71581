/* One thread allocates while another releases.
 *
 * expect debug: tsmbr: tsmbr_allocate\(0x[0-9a-f]+\): tsmbr_release of the same resource runs in another thread;
 * let all calls end before it
 */
#include "misuse.h"

static tsmbr_resource r = TSMBR_RESOURCE_INIT;
static sem_t running, done;

static void during(void *argument)
{
    (void)argument;
    sem_post(&running);
    sem_wait(&done);
}

static void *allocate(void *argument)
{
    (void)argument;
    sem_wait(&running);
    must(tsmbr_allocate(&r, 8, 8));
    sem_post(&done);
    return NULL;
}

int main(void)
{
    pthread_t other = start(allocate, NULL);
    if (tsmbr_on_release(&r, during, NULL) != 0)
        return 3;
#ifdef RIGHT
    sem_post(&running);
    pthread_join(other, NULL);
    tsmbr_release(&r);
#else
    tsmbr_release(&r);
    pthread_join(other, NULL);
#endif
    tsmbr_destroy(&r);
}
