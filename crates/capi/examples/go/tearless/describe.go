package tearless

// #include <stdlib.h>
// #include <tearless.h>
import "C"

import (
	"fmt"
	"reflect"
	"strings"
	"unsafe"
)

var scalars = map[reflect.Kind]C.int32_t{
	reflect.Bool: C.TL_BOOL, reflect.Float32: C.TL_F32, reflect.Float64: C.TL_F64,
	reflect.Uint8: C.TL_U8, reflect.Uint16: C.TL_U16, reflect.Uint32: C.TL_U32,
	reflect.Uint64: C.TL_U64, reflect.Int8: C.TL_I8, reflect.Int16: C.TL_I16,
	reflect.Int32: C.TL_I32, reflect.Int64: C.TL_I64,
}

// describe does for a struct of Go what TL_DESCRIBE does in C. Names begin in lower case, as other
// languages have them. The description is in memory of C, for memory of Go may not contain
// addresses of memory of Go when C gets it.
func describe[T any]() (*C.tl_structure, func()) {
	var state T
	kind := reflect.TypeOf(state)
	var texts []unsafe.Pointer
	text := func(name string) *C.char {
		copied := C.CString(strings.ToLower(name[:1]) + name[1:])
		texts = append(texts, unsafe.Pointer(copied))
		return copied
	}
	count := kind.NumField()
	fields := (*C.tl_field)(C.calloc(C.size_t(count), C.sizeof_tl_field))
	for index, field := range unsafe.Slice(fields, count) {
		member := kind.Field(index)
		field.name = text(member.Name)
		field.offset, field.size = C.size_t(member.Offset), C.size_t(member.Type.Size())
		element := member.Type
		for depth := 0; element.Kind() == reflect.Array; depth++ {
			field.lengths[depth] = C.size_t(element.Len())
			element = element.Elem()
		}
		scalar, is := scalars[element.Kind()]
		if !is {
			panic(fmt.Sprintf("%v.%s: a %v can't be published", kind, member.Name, element))
		}
		field.scalar = scalar
		unsafe.Slice(fields, count)[index] = field
	}
	structure := (*C.tl_structure)(C.calloc(1, C.sizeof_tl_structure))
	*structure = C.tl_structure{
		struct_size: C.sizeof_tl_structure, field_size: C.sizeof_tl_field, name: text(kind.Name()),
		size: C.size_t(kind.Size()), alignment: C.size_t(kind.Align()),
		fields: fields, field_count: C.size_t(count),
	}
	return structure, func() {
		for _, address := range append(texts, unsafe.Pointer(fields), unsafe.Pointer(structure)) {
			C.free(address)
		}
	}
}
