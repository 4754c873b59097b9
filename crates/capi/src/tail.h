
/**
 * Options with their defaults: change some, and pass the address.
 *
 *     tl_writer_options options = tl_writer_defaults();
 *     options.heartbeat_interval_ns = 100 * 1000 * 1000;
 */
static inline tl_namespace_options tl_namespace_defaults(void) {
  tl_namespace_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/** As tl_namespace_defaults(), for a writer. */
static inline tl_writer_options tl_writer_defaults(void) {
  tl_writer_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/** As tl_namespace_defaults(), for a reader. */
static inline tl_reader_options tl_reader_defaults(void) {
  tl_reader_options options;
  memset(&options, 0, sizeof options);
  options.struct_size = sizeof options;
  return options;
}

/**
 * TL_DESCRIBE(type, members...) describes a struct, so that its channels carry their schema: the
 * command, Python and Rust then read its members by their names. It stands outside of functions,
 * after the struct; the type is one word, as a typedef makes it. TL_STRUCTURE(type) is the address
 * of the description.
 *
 *     typedef struct { double speed; int32_t code; } motor;
 *     typedef struct { uint64_t jobs; double position[3]; motor motors[2]; } robot;
 *
 *     TL_DESCRIBE(motor, TL_FIELD(motor, speed), TL_FIELD(motor, code));
 *     TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_FIELD(robot, position),
 *                 TL_NESTED(robot, motors, motor));
 *
 *     options.structure = TL_STRUCTURE(robot);
 *
 * The type's name is the word; TL_DESCRIBE_AS(type, "Robot", members...) gives another one.
 *
 * TL_FIELD(type, member): a bool, integer, float, char or enum, or an array of them. A pointer does
 * not compile: it means nothing to another process. char arrays are bytes.
 * TL_MATRIX(type, member): an array of arrays of them.
 * TL_NESTED(type, member, other): a struct that is described as other, or an array of them.
 * Members may be const or volatile, except for enums, which clang then refuses. An array of three
 * dimensions needs a tl_field that no macro makes.
 *
 * Members that are not named are not in the schema; their bytes are published all the same, and so
 * is padding.
 */
#define TL_DESCRIBE(type, ...) TL_DESCRIBE_AS(type, #type, __VA_ARGS__)

/** As TL_DESCRIBE, with another name of the type. */
#define TL_DESCRIBE_AS(type, type_name, ...)                                                       \
  TL_CONSTANT_ tl_field tl_fields_of_##type[] = {__VA_ARGS__};                                     \
  TL_STRUCTURE_(type, type_name, tl_fields_of_##type, sizeof tl_fields_of_##type / sizeof(tl_field))

/**
 * TL_NAMED(type) is for a struct whose members no other program needs to know. Its channels have
 * no schema: readers compare the name, the size and the alignment. Write it after the struct, as
 * TL_DESCRIBE.
 */
#define TL_NAMED(type) TL_STRUCTURE_(type, #type, NULL, 0)

/** The address of what TL_DESCRIBE or TL_NAMED has made: a const tl_structure *. */
#define TL_STRUCTURE(type) (&tl_structure_of_##type)

#define TL_FIELD(type, member)                                                                     \
  {                                                                                                \
    #member, offsetof(type, member), sizeof(TL_MEMBER_(type, member)),                             \
        {TL_LENGTH_(TL_MEMBER_(type, member)), 0, 0}, NULL,                                        \
        TL_SCALAR_(TL_MEMBER_(type, member))                                                       \
  }

#define TL_MATRIX(type, member)                                                                    \
  {                                                                                                \
    #member, offsetof(type, member), sizeof(TL_MEMBER_(type, member)),                             \
        {sizeof(TL_MEMBER_(type, member)) / sizeof(TL_MEMBER_(type, member)[0]),                   \
         TL_LENGTH_(TL_MEMBER_(type, member)[0]), 0},                                              \
        NULL, TL_SCALAR_(TL_MEMBER_(type, member)[0])                                              \
  }

#define TL_NESTED(type, member, other)                                                             \
  {                                                                                                \
    #member, offsetof(type, member), sizeof(TL_MEMBER_(type, member)),                             \
        {TL_LENGTH_OF_(other, TL_MEMBER_(type, member)), 0, 0}, TL_STRUCTURE(other), TL_STRUCT     \
  }

#define TL_STRUCTURE_(type, type_name, fields, count)                                              \
  TL_CONSTANT_ tl_structure tl_structure_of_##type = {                                             \
      sizeof(tl_structure),   sizeof(tl_field), type_name, sizeof(type),                           \
      TL_ALIGNMENT_OF_(type), fields,           count} TL_FOUND_BY_TYPE_(type)

/* C++17 has one description for all files of a program, which tearless.hpp finds by the type. */
#if defined(__cplusplus) && __cplusplus >= 201703L
#define TL_CONSTANT_ inline constexpr
#define TL_FOUND_BY_TYPE_(type)                                                                    \
  ;                                                                                                \
  inline const tl_structure *tl_structure_by_type_(const type *) { return TL_STRUCTURE(type); }    \
  static_assert(sizeof(type) > 0, "")
#else
#if defined(__GNUC__) /* A file need not use what a header of its program describes. */
#define TL_CONSTANT_ __attribute__((unused)) static const
#else
#define TL_CONSTANT_ static const
#endif
#define TL_FOUND_BY_TYPE_(type)
#endif

/* How the macros above find out what a member is. */

#ifdef __cplusplus

extern "C++" {
template <typename T, bool is_enum = std::is_enum<T>::value>
struct tl_scalar_of_ {
  static constexpr bool is_integer = std::is_integral<T>::value;
  static constexpr bool is_float = std::is_floating_point<T>::value && sizeof(T) <= 8;
  static_assert(is_integer || is_float,
                "a field is a bool, an integer, a float of up to 64 bits, a char or an enum, or an "
                "array of them: TL_NESTED describes a struct, and a pointer means nothing to "
                "another process");
  static constexpr int bits = static_cast<int>(sizeof(T) * 8);
  static constexpr int32_t integer =
      (bits == 8 ? 0 : bits == 16 ? 1 : bits == 32 ? 2 : 3) +
      (std::is_signed<T>::value && !std::is_same<T, char>::value ? TL_I8 : TL_U8);
  static constexpr int32_t value = std::is_same<T, bool>::value ? TL_BOOL
                                   : is_float                  ? (bits == 32 ? TL_F32 : TL_F64)
                                                               : integer;
};
template <typename T>
struct tl_scalar_of_<T, true> : tl_scalar_of_<typename std::underlying_type<T>::type> {};
template <typename T, typename Other>
struct tl_is_other_ {
  using one = typename std::remove_cv<typename std::remove_extent<T>::type>::type;
  static_assert(std::is_same<one, Other>::value,
                "TL_NESTED names another struct than the member is");
  static constexpr size_t length = std::extent<T>::value;
};
}

#define TL_ALIGNMENT_OF_(type) alignof(type)
#define TL_MEMBER_(type, member) (reinterpret_cast<type *>(64)->member)
#define TL_SCALAR_(place)                                                                          \
  tl_scalar_of_<std::remove_cv<std::remove_extent<                                                 \
      std::remove_reference<decltype((place))>::type>::type>::type>::value
#define TL_LENGTH_(place) std::extent<std::remove_reference<decltype((place))>::type>::value
#define TL_LENGTH_OF_(other, place)                                                                \
  tl_is_other_<std::remove_reference<decltype((place))>::type, other>::length

#else

#define TL_ALIGNMENT_OF_(type) _Alignof(type)
#define TL_MEMBER_(type, member) (((type *)0)->member)
/* At least 1: a type of no such length would be no type. */
#define TL_COUNT_(type, place) ((sizeof(place) + sizeof(type) - 1) / sizeof(type))
#define TL_EITHER_(type, place, one, array)                                                        \
  TL_QUALIFIED_(type, place, one, array), TL_QUALIFIED_(const type, place, one, array),            \
      TL_QUALIFIED_(volatile type, place, one, array),                                             \
      TL_QUALIFIED_(const volatile type, place, one, array)
#define TL_QUALIFIED_(type, place, one, array)                                                     \
  type * : (one), type(*)[TL_COUNT_(type, place)] : (array)
#define TL_CASE_(type, place, kind) TL_EITHER_(type, place, kind, kind)
#define TL_LENGTH_CASE_(type, place) TL_EITHER_(type, place, 0, TL_COUNT_(type, place))
#define TL_SIGNED_(type) (sizeof(type) == 8 ? TL_I64 : TL_I32)
#define TL_UNSIGNED_(type) (sizeof(type) == 8 ? TL_U64 : TL_U32)

/* An error here says that the member is no bool, integer, float, char or enum, and no array of
   them. TL_NESTED describes a struct, TL_MATRIX an array of arrays; a pointer can't be published. */
#define TL_SCALAR_(place)                                                                          \
  _Generic(&(place),                                                                               \
      TL_CASE_(bool, place, TL_BOOL),                                                              \
      TL_CASE_(char, place, TL_U8),                                                                \
      TL_CASE_(unsigned char, place, TL_U8),                                                       \
      TL_CASE_(signed char, place, TL_I8),                                                         \
      TL_CASE_(unsigned short, place, TL_U16),                                                     \
      TL_CASE_(short, place, TL_I16),                                                              \
      TL_CASE_(unsigned int, place, TL_U32),                                                       \
      TL_CASE_(int, place, TL_I32),                                                                \
      TL_CASE_(unsigned long, place, TL_UNSIGNED_(long)),                                          \
      TL_CASE_(long, place, TL_SIGNED_(long)),                                                     \
      TL_CASE_(unsigned long long, place, TL_U64),                                                 \
      TL_CASE_(long long, place, TL_I64),                                                          \
      TL_CASE_(float, place, TL_F32),                                                              \
      TL_CASE_(double, place, TL_F64))
#define TL_LENGTH_(place)                                                                          \
  _Generic(&(place),                                                                               \
      TL_LENGTH_CASE_(bool, place),                                                                \
      TL_LENGTH_CASE_(char, place),                                                                \
      TL_LENGTH_CASE_(unsigned char, place),                                                       \
      TL_LENGTH_CASE_(signed char, place),                                                         \
      TL_LENGTH_CASE_(unsigned short, place),                                                      \
      TL_LENGTH_CASE_(short, place),                                                               \
      TL_LENGTH_CASE_(unsigned int, place),                                                        \
      TL_LENGTH_CASE_(int, place),                                                                 \
      TL_LENGTH_CASE_(unsigned long, place),                                                       \
      TL_LENGTH_CASE_(long, place),                                                                \
      TL_LENGTH_CASE_(unsigned long long, place),                                                  \
      TL_LENGTH_CASE_(long long, place),                                                           \
      TL_LENGTH_CASE_(float, place),                                                               \
      TL_LENGTH_CASE_(double, place))
#define TL_LENGTH_OF_(other, place) _Generic(&(place), TL_LENGTH_CASE_(other, place))

#endif

#endif /* TEARLESS_H */
