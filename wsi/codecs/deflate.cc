// Deflate in a zlib wrapper (TIFF compression 8, and 32946 by its old name).

#include <zlib.h>

#include "tensor/check.h"
#include "wsi/codecs/codec.h"

namespace mt::wsi {

void decode_deflate(std::span<const uint8_t> data, std::span<uint8_t> out) {
  check(data.size() <= UINT32_MAX && out.size() <= UINT32_MAX, "deflate: {} bytes for one tile", data.size());
  z_stream stream{};
  check(inflateInit(&stream) == Z_OK, "deflate: zlib cannot start");
  stream.next_in = const_cast<Bytef*>(data.data());
  stream.avail_in = static_cast<uInt>(data.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  const int status = inflate(&stream, Z_FINISH);
  const std::string reason = stream.msg != nullptr ? stream.msg : "the data ends too early";
  const std::size_t missing = stream.avail_out;
  inflateEnd(&stream);
  // More data than the tile has room for is cut off, as libtiff does; Z_BUF_ERROR says so when the tile is
  // full.
  check(missing == 0 && (status == Z_STREAM_END || status == Z_OK || status == Z_BUF_ERROR),
        "deflate: corrupt data, {} of {} bytes: {}", out.size() - missing, out.size(), reason);
}

}  // namespace mt::wsi
