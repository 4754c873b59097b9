// Package tearless reads and writes channels of plain structs.
package tearless

// #cgo LDFLAGS: -ltearless
// #include <stdlib.h>
// #include <tearless.h>
import "C"

import (
	"runtime"
	"unsafe"
)

// An Error is a status of tearless, and what happened.
type Error struct {
	Status int
	Text   string
}

func (e *Error) Error() string { return e.Text }

// do makes one call, on one thread, because the text of an error is the thread's. Positive statuses
// are no errors: "nothing published yet", for example.
func do(call func() C.tl_status) (bool, error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	status := call()
	if status < 0 {
		return false, &Error{int(status), C.GoString(C.tl_error_message())}
	}
	return status == C.TL_OK, nil
}

// A Namespace may be used by several goroutines at a time, a Writer or Reader by one.
type Namespace struct{ handle *C.tl_namespace }

// Open opens a namespace.
func Open(name string) (*Namespace, error) {
	text := C.CString(name)
	defer C.free(unsafe.Pointer(text))
	it := &Namespace{}
	_, err := do(func() C.tl_status { return C.tl_namespace_open(text, nil, &it.handle) })
	return it, err
}

// Close leaves readers and writers open.
func (n *Namespace) Close() error {
	_, err := do(func() C.tl_status { return C.tl_namespace_close(n.handle) })
	n.handle = nil
	return err
}
