package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"golang.org/x/sys/unix"
)

// A disk is a small one, in memory, that is mounted on a directory for those
// programs only that are started with it: they are in a mount namespace of its own.
// It is gone when it is closed and they have ended.
type disk struct {
	ns  *os.File
	dir string
}

// ballast is the file that fills a disk.
const ballast = "ballast"

// canMakeDisks says what is missing to make one here, nil if nothing.
func canMakeDisks() error {
	if os.Geteuid() != 0 {
		return errors.New("a disk of its own, in a mount namespace, needs root")
	}
	return nil
}

// newDisk makes a disk of so many bytes on a directory. The caller closes it.
func newDisk(dir string, bytes int) (d *disk, err error) {
	d = &disk{dir: dir}
	doneCh := make(chan struct{})
	go func() {
		defer close(doneCh)
		runtime.LockOSThread() // for ever: see enter
		if err = unix.Unshare(unix.CLONE_NEWNS); err != nil {
			return
		}
		// What is mounted here is not to be seen elsewhere: mount_namespaces(7).
		if err = unix.Mount("", "/", "", unix.MS_REC|unix.MS_PRIVATE, ""); err != nil {
			return
		}
		if err = unix.Mount("marquee", dir, "tmpfs", 0, fmt.Sprintf("size=%d", bytes)); err != nil {
			return
		}
		d.ns, err = os.Open("/proc/thread-self/ns/mnt")
	}()
	<-doneCh
	if err != nil {
		return nil, fmt.Errorf("make a disk: %w", err)
	}
	return d, nil
}

// close lets go of the disk.
func (d *disk) close() error { return d.ns.Close() }

// enter takes the calling thread to where the disk is, for good: the goroutine has
// locked it, and never unlocks it.
func (d *disk) enter() error {
	err := unix.Unshare(unix.CLONE_FS) // setns(2) wants a thread that shares no directory with others
	if err == nil {
		err = unix.Setns(int(d.ns.Fd()), unix.CLONE_NEWNS)
	}
	if err != nil {
		return fmt.Errorf("enter a mount namespace: %w", err)
	}
	return nil
}

// inside calls f on a thread that sees the disk. f must not start goroutines that
// need to.
func (d *disk) inside(f func() error) error {
	doneCh := make(chan error)
	go func() {
		runtime.LockOSThread() // for ever: see enter
		err := d.enter()
		if err == nil {
			err = f()
		}
		doneCh <- err
	}()
	return <-doneCh
}

// fill leaves no room on the disk.
func (d *disk) fill() error {
	return d.inside(func() error {
		f, err := os.Create(filepath.Join(d.dir, ballast))
		if err != nil {
			return fmt.Errorf("fill the disk: %w", err)
		}
		defer f.Close()
		// The smaller pieces take what the larger ones leave.
		for _, size := range []int{64 << 10, 1} {
			for err = nil; err == nil; {
				_, err = f.Write(make([]byte, size))
			}
			if !errors.Is(err, unix.ENOSPC) {
				return fmt.Errorf("fill the disk: %w", err)
			}
		}
		return nil
	})
}

// clear undoes fill.
func (d *disk) clear() error {
	return d.inside(func() error { return os.Remove(filepath.Join(d.dir, ballast)) })
}
