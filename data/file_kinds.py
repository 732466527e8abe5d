"""What a file is, by its first bytes, for messages about files of another kind than expected."""

#: (first bytes, what such a file is).  Compared in this order.
_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "a PNG picture"),
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"GIF87a", "a GIF picture"), (b"GIF89a", "a GIF picture"),
    (b"II*\0", "a TIFF picture"), (b"MM\0*", "a TIFF picture"),
    (b"II+\0", "a TIFF picture"), (b"MM\0+", "a TIFF picture"),
    (b"\0\0\0\x0cjP  ", "a JPEG 2000 picture"), (b"\xff\x4f\xff\x51", "a JPEG 2000 picture"),
    (b"\0\0\0\x0cJXL ", "a JPEG XL picture"), (b"\xff\x0a", "a JPEG XL picture"),
    (b"8BPS", "a Photoshop file"), (b"\x76\x2f\x31\x01", "an OpenEXR picture"),
    (b"P5\n", "a PGM picture"), (b"P6\n", "a PPM picture"),
    (b"\x1a\x45\xdf\xa3", "a Matroska or WebM video"),
    (b"\0\0\1\xba", "an MPEG video"), (b"OggS", "an Ogg file"),
    (b"\x89HDF", "an HDF5 file"),
    (b"PK\x03\x04", "a zip archive"), (b"\x1f\x8b", "a gzip-compressed file"),
    (b"7z\xbc\xaf\x27\x1c", "a 7z archive"), (b"Rar!", "a RAR archive"),
    (b"\xfd7zXZ\0", "an xz-compressed file"), (b"BZh", "a bzip2-compressed file"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x80\x02", "a Python pickle"), (b"\x80\x03", "a Python pickle"),
    (b"\x80\x04", "a Python pickle"), (b"\x80\x05", "a Python pickle"),
    (b"\x7fELF", "a program"), (b"%PDF", "a PDF document"),
    (b"\0\5\x16\7", "a file of macOS with the attributes of another one"),
    (b"version https://git-lfs", "a Git LFS pointer, not the file itself"))
#: Brands of the ISO base media format (MP4 and its relatives) that are pictures.
_PICTURE_BRANDS = {b"heic": "a HEIC picture", b"heix": "a HEIC picture", b"mif1": "a HEIF picture",
                   b"msf1": "a HEIF picture", b"avif": "an AVIF picture",
                   b"avis": "an AVIF picture"}
#: Bytes of a file that `kind_of` looks at.
BYTES = 1024


def kind_of(data):
    """What the file that begins with the bytes `data` is, as in "a WebP picture"; None if unknown.

    data: at least BYTES bytes, or the whole file.
    """
    for start, kind in _STARTS:
        if data.startswith(start):
            return kind
    if data[:4] == b"RIFF":
        return {b"WEBP": "a WebP picture", b"AVI ": "an AVI video"}.get(data[8:12])
    if data[4:8] == b"ftyp":
        return _PICTURE_BRANDS.get(data[8:12], "an MP4 or QuickTime video")
    if data[:2] == b"BM" and data[6:10] == b"\0\0\0\0":
        return "a BMP picture"
    head = data[:BYTES]
    if head and not head.strip(b"\0"):
        return "nothing but zero bytes (an unfinished download?)"
    words = head.replace(b"\xef\xbb\xbf", b"", 1).lstrip().lower()
    if words.startswith((b"<!doctype html", b"<head", b"<body")) or b"<html" in words:
        return "a web page, not the file"
    if b"<svg" in words:
        return "an SVG drawing"
    return "a text file" if _is_text(head) else None


def _is_text(head):
    """Whether the bytes are UTF-8 without control characters; the last letter may be cut."""
    try:
        text = head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 3:
            return False
        text = head[:error.start].decode("utf-8")
    return bool(text.strip()) and all(
        letter.isprintable() or letter in "\t\n\r\f\ufeff" for letter in text)
