package tearless

// #include <stdlib.h>
// #include <tearless.h>
import "C"

import "unsafe"

// A Writer publishes values of T.
type Writer[T any] struct{ handle *C.tl_writer }

// OpenWriter creates or resumes a channel.
func OpenWriter[T any](fleet *Namespace, channel string) (*Writer[T], error) {
	text, options, it := C.CString(channel), C.tl_writer_defaults(), &Writer[T]{}
	defer C.free(unsafe.Pointer(text))
	structure, free := describe[T]()
	defer free()
	options.structure = structure
	_, err := do(func() C.tl_status {
		return C.tl_writer_open(fleet.handle, text, &options, &it.handle)
	})
	return it, err
}

// Publish makes a state the latest one.
func (w *Writer[T]) Publish(state *T) error {
	_, err := do(func() C.tl_status {
		return C.tl_writer_publish(w.handle, unsafe.Pointer(state), C.size_t(unsafe.Sizeof(*state)), nil)
	})
	return err
}

// Close removes the channel.
func (w *Writer[T]) Close() error {
	_, err := do(func() C.tl_status { return C.tl_writer_close(w.handle) })
	w.handle = nil
	return err
}
