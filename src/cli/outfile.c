#include "cli/outfile.h"
#include "base/err.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdarg.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

static int outfile_set_error(struct err *err, const char *what, const char *name)
{
    return err_set(err, ERR_FAILED, "%s \"%s\": %s", what, name[0] ? name : "-", strerror(errno));
}

int outfile_open(struct outfile *o, const char *name, struct err *err)
{
    *o = (struct outfile){0};
    if (strcmp(name, "-") == 0) {
        o->f = stdout;
        return 0;
    }
    if (strlen(name) >= sizeof o->name)
        return err_set(err, ERR_USAGE, "the file's name is too long");
    snprintf(o->name, sizeof o->name, "%s", name);
    snprintf(o->part, sizeof o->part, "%s.part", name);
    int fd = open(o->part, O_WRONLY | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0)
        return outfile_set_error(err, "cannot write", o->part);
    /* Only its holder may empty it: another one may be half through. */
    if (flock(fd, LOCK_EX | LOCK_NB) < 0 || ftruncate(fd, 0) < 0) {
        int rc = errno == EWOULDBLOCK
                     ? err_set(err, ERR_FAILED, "another process is writing \"%s\"", name)
                     : outfile_set_error(err, "cannot write", o->part);
        close(fd);
        return rc;
    }
    o->f = fdopen(fd, "w");
    return 0;
}

int outfile_printf(struct outfile *o, struct err *err, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    int n = vfprintf(o->f, fmt, ap);
    va_end(ap);
    return n < 0 ? outfile_set_error(err, "cannot write", o->part) : 0;
}

/* The rename is durable when the folder is. */
static int sync_folder(const char *name)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", name);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return -1;
    int rc = fsync(fd);
    close(fd);
    return rc;
}

int outfile_keep(struct outfile *o, struct err *err)
{
    if (fflush(o->f) != 0)
        return outfile_set_error(err, "cannot write", o->part);
    if (!o->name[0])
        return 0;
    if (fsync(fileno(o->f)) < 0 || rename(o->part, o->name) < 0 || sync_folder(o->name) < 0)
        return outfile_set_error(err, "cannot write", o->name);
    fclose(o->f);
    o->f = NULL;
    return 0;
}

void outfile_drop(struct outfile *o)
{
    if (!o->f || !o->name[0])
        return;
    unlink(o->part);
    fclose(o->f);
    o->f = NULL;
}
