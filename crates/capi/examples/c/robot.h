/* What the examples publish. Go and Node describe the same struct in their own words. */
#include <tearless.h>

typedef struct {
  uint64_t jobs;
  double position[3];
  int32_t battery;
  uint32_t errors;
} robot;

TL_DESCRIBE(robot, TL_FIELD(robot, jobs), TL_FIELD(robot, position), TL_FIELD(robot, battery),
            TL_FIELD(robot, errors));
