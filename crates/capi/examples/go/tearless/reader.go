package tearless

// #include <stdlib.h>
// #include <tearless.h>
import "C"

import (
	"time"
	"unsafe"
)

// A Reader reads values of T.
type Reader[T any] struct{ handle *C.tl_reader }

// OpenReader waits for a channel to exist.
func OpenReader[T any](fleet *Namespace, channel string, wait time.Duration) (*Reader[T], error) {
	text, options, it := C.CString(channel), C.tl_reader_defaults(), &Reader[T]{}
	defer C.free(unsafe.Pointer(text))
	structure, free := describe[T]()
	defer free()
	options.structure, options.attach_timeout_ns = structure, C.int64_t(wait)
	_, err := do(func() C.tl_status {
		return C.tl_reader_open(fleet.handle, text, &options, &it.handle)
	})
	return it, err
}

// Read copies the latest state; false if nothing has been published yet.
func (r *Reader[T]) Read() (state T, publication uint64, ok bool, err error) {
	var info C.tl_info
	ok, err = do(func() C.tl_status {
		return C.tl_reader_read(r.handle, unsafe.Pointer(&state), C.size_t(unsafe.Sizeof(state)), &info)
	})
	return state, uint64(info.publication), ok, err
}

// Wait waits for the next publication; false if there is none in time.
func (r *Reader[T]) Wait(timeout time.Duration) (bool, error) {
	return do(func() C.tl_status { return C.tl_reader_wait(r.handle, C.int64_t(timeout)) })
}

// JSON is the latest state as JSON, of any channel.
func (r *Reader[T]) JSON() (string, error) {
	size := C.size_t(1000)
	for {
		buffer, length := make([]byte, size+1), C.size_t(0)
		_, err := do(func() C.tl_status {
			return C.tl_reader_json(r.handle, (*C.char)(unsafe.Pointer(&buffer[0])), size+1, &length, nil)
		})
		if it, is := err.(*Error); is && it.Status == C.TL_TOO_SMALL {
			size = length
			continue
		}
		return string(buffer[:length]), err
	}
}

// Close closes the reader.
func (r *Reader[T]) Close() error {
	_, err := do(func() C.tl_status { return C.tl_reader_close(r.handle) })
	r.handle = nil
	return err
}
