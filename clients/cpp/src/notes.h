// The records of the bulk upsert.
#pragma once

#include <vector>

#include "vecgate/v1/record.pb.h"

namespace example {

std::vector<std::vector<vecgate::v1::Record>> batches_of_notes(int records);

}  // namespace example
