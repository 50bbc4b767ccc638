"""Writes a corpus of valid pictures of all kinds that the program uploads, by several encoders:

    corpus.py FOLDER

Each file's name ends in the extension that the program gives it. scripts/dev/tools.sh corpus installs
what this needs.
"""

import io
import itertools
import struct
import sys
import zlib
from pathlib import Path

import imagecodecs
import numpy
import png
import pyvips
import tifffile
from PIL import Image, ImageDraw, PngImagePlugin

FOLDER = Path(sys.argv[1])
SIZES = [(1, 1), (17, 9), (320, 200)]
NUMBERS = itertools.count()


def add(name, extension, content):
    """Adds a file of the corpus."""
    (FOLDER / f"{next(NUMBERS):03}-{name}.{extension}").write_bytes(content)


def picture(mode, size, seed=0):
    """A picture with edges, gradients and noise."""
    noise = numpy.random.default_rng(seed).integers(0, 40, (size[1], size[0], 3), dtype=numpy.uint8)
    image = Image.fromarray(noise, "RGB")
    draw = ImageDraw.Draw(image)
    draw.ellipse([size[0] // 4, size[1] // 4, size[0] // 2, size[1] // 2], fill=(200, 90, seed % 256))
    return image.convert(mode)


def pillow(name, extension, image, kind, **options):
    """Adds what Pillow makes of an image."""
    content = io.BytesIO()
    image.save(content, kind, **options)
    add(f"pillow-{name}", extension, content.getvalue())


def with_pillow():
    for size in SIZES:
        shape = "x".join(map(str, size))
        for mode, quality, subsampling in itertools.product(["L", "RGB", "CMYK"], [1, 75, 100], [0, 2]):
            for more in [{}, {"progressive": True}, {"optimize": True}]:
                pillow(f"{shape}-{mode}-{quality}-{subsampling}", "jpg", picture(mode, size), "JPEG",
                       quality=quality, subsampling=subsampling, **more)
        for mode in ["1", "L", "LA", "I;16", "P", "RGB", "RGBA"]:
            image = picture("L", size).convert("I").convert(mode) if mode == "I;16" else picture(mode, size)
            pillow(f"{shape}-{mode.replace(';', '')}", "png", image, "PNG", compress_level=len(mode))
        for mode in ["1", "L", "P", "RGB"]:
            pillow(f"{shape}-{mode}", "bmp", picture(mode, size), "BMP")
        for mode in ["1", "L", "P", "RGB"]:
            pillow(f"{shape}-{mode}", "gif", picture(mode, size), "GIF")
        for mode, lossless in itertools.product(["RGB", "RGBA"], [False, True]):
            pillow(f"{shape}-{mode}-{lossless}", "webp", picture(mode, size), "WEBP", lossless=lossless)
        for mode, compression in [("1", None), ("1", "group4"), ("L", "tiff_lzw"), ("RGB", None),
                                  ("RGB", "tiff_adobe_deflate"), ("RGB", "jpeg"), ("RGBA", "packbits"),
                                  ("CMYK", None), ("I;16", None), ("F", None)]:
            image = picture("L", size).convert("I").convert(mode) if mode == "I;16" else picture(mode, size)
            pillow(f"{shape}-{mode.replace(';', '')}-{compression}", "tif", image, "TIFF", compression=compression)
        for quality in [30, 100]:
            pillow(f"{shape}-{quality}", "avif", picture("RGB", size), "AVIF", quality=quality, speed=10)

    image = picture("RGB", (64, 48))
    frames = [picture("RGB", (64, 48), seed) for seed in range(1, 4)]
    animated = {"save_all": True, "append_images": frames, "duration": 50}
    pillow("animated", "gif", image, "GIF", loop=0, **animated)
    pillow("animated", "webp", image, "WEBP", **animated)
    pillow("animated-lossless", "webp", image, "WEBP", lossless=True, **animated)
    pillow("animated", "png", image, "PNG", **animated)
    pillow("animated", "avif", image, "AVIF", speed=10, **animated)
    pillow("pages", "tif", image, "TIFF", save_all=True, append_images=frames)
    pillow("big", "tif", image, "TIFF", big_tiff=True)
    pillow("comment", "gif", image.convert("P"), "GIF", comment=b"a comment; with a semicolon")
    pillow("transparent", "gif", image.convert("P"), "GIF", transparency=0)

    # What cameras and editors add: metadata, profiles, thumbnails in segments and chunks.
    exif = Image.Exif()
    exif[0x010E] = "a description \xff\xd9 with an end of a JPEG"
    profile = bytes(range(256)) * 600
    thumbnail = io.BytesIO()
    picture("RGB", (40, 30)).save(thumbnail, "JPEG")
    inner = io.BytesIO()
    picture("RGB", (40, 30)).save(inner, "PNG")
    for extension, kind in [("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("avif", "AVIF"), ("tif", "TIFF")]:
        pillow("exif", extension, image, kind, exif=exif)
        pillow("profile", extension, image, kind, icc_profile=profile)
    pillow("comment", "jpg", image, "JPEG", comment=b"\xff\xd9" + thumbnail.getvalue())
    pillow("restart", "jpg", image, "JPEG", restart_marker_blocks=1)
    pillow("xmp", "jpg", image, "JPEG", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>\xff\xd9</x:xmpmeta>")
    pillow("xmp", "webp", image, "WEBP", xmp=b"<x:xmpmeta xmlns:x='adobe:ns:meta/'/>")
    chunks = PngImagePlugin.PngInfo()
    chunks.add_text("Comment", "IEND\xae B`\x82 in a text", zip=False)
    chunks.add(b"caBX", inner.getvalue())
    pillow("embedded", "png", image, "PNG", pnginfo=chunks)
    pillow("appended-mpo", "jpg", image, "MPO", save_all=True, append_images=frames)


def with_tifffile():
    """TIFFs in both byte orders, BigTIFFs, and those whose bytes 8 and 9 are those of a raw format."""
    for size, order, big, compression in itertools.product(
            SIZES, "<>", [False, True], [None, "zlib", "lzw", "packbits", "jpeg"]):
        content = io.BytesIO()
        pixels = numpy.array(picture("RGB", size))
        tifffile.imwrite(content, pixels, byteorder=order, bigtiff=big, compression=compression,
                         photometric="rgb")
        kind = "big" if big else "classic"
        add(f"tifffile-{size[0]}x{size[1]}-{'le' if order == '<' else 'be'}-{kind}-{compression}", "tif",
            content.getvalue())
    for dtype in ["uint8", "uint16", "uint32", "float32", "float64"]:
        content = io.BytesIO()
        tifffile.imwrite(content, numpy.zeros((5, 30, 40), dtype), bigtiff=dtype == "float64")
        add(f"tifffile-stack-{dtype}", "tif", content.getvalue())
    # Pixels directly behind the header, as many writers place them: Canon's marks are CR and 2.
    for first in [b"CR", b"C\0", b"\0R", b"BM", b"\xff\xd8"]:
        pixels = first + bytes(62)
        tags = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8), (279, 64)]
        for order, mark in [("<", b"II"), (">", b"MM")]:
            content = mark + struct.pack(order + "HI", 42, 8 + len(pixels)) + pixels
            content += struct.pack(order + "H", len(tags))
            for tag, value in tags:
                content += struct.pack(order + "HHII", tag, 4, 1, value)
            add(f"own-{first.hex()}", "tif", content + bytes(4))


def with_imagecodecs():
    for size in SIZES[1:]:
        pixels = numpy.ascontiguousarray(picture("RGB", size))
        shape = f"imagecodecs-{size[0]}x{size[1]}"
        for level in [10, 95]:
            add(f"{shape}-{level}", "jpg", imagecodecs.jpeg8_encode(pixels, level=level))
            add(f"{shape}-{level}", "webp", imagecodecs.webp_encode(pixels, level=level))
            add(f"{shape}-{level}", "avif", imagecodecs.avif_encode(pixels, level=level, speed=10))
        add(f"{shape}-lossless", "webp", imagecodecs.webp_encode(pixels, lossless=True))
        for level in [0, 1, 9]:
            add(f"{shape}-{level}", "png", imagecodecs.png_encode(pixels, level=level))
            add(f"{shape}-spng-{level}", "png", imagecodecs.spng_encode(pixels, level=level))
        add(f"{shape}-apng", "png", imagecodecs.apng_encode(numpy.stack([pixels, pixels]), delay=50))
        add(f"{shape}", "bmp", imagecodecs.bmp_encode(pixels))
        add(f"{shape}", "gif", imagecodecs.gif_encode(pixels[..., 0].copy()))


def with_pypng():
    for size, depth, kind in itertools.product(SIZES, [1, 2, 4, 8, 16], ["grey", "palette", "interlaced"]):
        if kind == "palette" and depth == 16:
            continue
        palette = [(n * 255 // (2 ** depth - 1), 0, 0) for n in range(2 ** depth)] if kind == "palette" else None
        writer = png.Writer(*size, bitdepth=depth, palette=palette, greyscale=palette is None,
                            interlace=kind == "interlaced", chunk_limit=50)
        content = io.BytesIO()
        writer.write(content, [[0] * size[0]] * size[1])
        add(f"pypng-{size[0]}x{size[1]}-{depth}-{kind}", "png", content.getvalue())


def with_vips():
    for size in SIZES:
        pixels = numpy.ascontiguousarray(picture("RGB", size))
        image = pyvips.Image.new_from_memory(pixels.tobytes(), *size, 3, "uchar").copy(interpretation="srgb")
        for extension, suffixes in [
                ("jpg", [".jpg[Q=40]", ".jpg[Q=90,interlace]", ".jpg[optimize-scans,trellis-quant,strip]"]),
                ("png", [".png", ".png[interlace]", ".png[palette]"]),
                ("webp", [".webp", ".webp[lossless]", ".webp[near-lossless]"]),
                ("gif", [".gif", ".gif[interlace]"]),
                ("avif", [".avif[effort=0]", ".avif[lossless,effort=0]", ".avif[bitdepth=10,effort=0]"]),
                ("tif", [".tif", ".tif[bigtiff]", ".tif[pyramid,tile]", ".tif[compression=lzw]"])]:
            for number, suffix in enumerate(suffixes):
                add(f"vips-{size[0]}x{size[1]}-{number}", extension, image.write_to_buffer(suffix))


def by_hand():
    """Valid files that these encoders do not write."""
    avif = io.BytesIO()
    picture("RGB", (32, 32)).save(avif, "AVIF", speed=10)
    avif = avif.getvalue()
    length = struct.unpack(">I", avif[:4])[0]
    rest = avif[length:]
    # The major brand `mif1` takes as much room as `avif`.
    add("own-mif1", "avif", avif[:8] + b"mif1" + avif[12:16] + b"avif" + avif[20:])
    # A long list of brands moves all that follows, also the data, whose place `iloc` has.
    brands = b"mif1" + bytes(4) + b"miaf" * 300 + b"avif"
    moved = bytearray(rest)
    start = rest.index(b"iloc") + 4
    version, sizes, _, count = struct.unpack_from(">BxxxBBH", rest, start)
    assert (version, sizes) == (0, 0x44)
    for item in range(count):
        place = start + 8 + item * 14 + 6
        struct.pack_into(">I", moved, place, struct.unpack_from(">I", rest, place)[0] + len(brands) + 8 - length)
    add("own-long-ftyp", "avif", struct.pack(">I", len(brands) + 8) + b"ftyp" + brands + bytes(moved))

    plain = io.BytesIO()
    picture("RGB", (32, 32)).save(plain, "PNG")
    plain = plain.getvalue()
    chunk = lambda name, data: struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
    # Content Credentials (C2PA) of a signed picture have its thumbnail, a PNG, in the chunk caBX.
    add("own-signed", "png", plain[:33] + chunk(b"caBX", b"jumb" + plain) + plain[33:])
    add("own-trailing", "png", plain + b"bytes after the end")

    jpeg = io.BytesIO()
    picture("RGB", (32, 32)).save(jpeg, "JPEG")
    jpeg = jpeg.getvalue()
    add("own-fill-bytes", "jpg", jpeg[:2] + b"\xff\xff" + jpeg[2:])
    add("own-app11", "jpg", jpeg[:2] + b"\xff\xeb" + struct.pack(">H", len(jpeg) + 2) + jpeg + jpeg[2:])
    add("own-appended", "jpg", jpeg + jpeg)
    # OS/2's header of a bitmap.
    add("own-os2", "bmp", b"BM" + struct.pack("<IHHI", 30, 0, 0, 26) + struct.pack("<IHHHH", 12, 1, 1, 1, 24) + bytes(4))
    # Without a color table for all, and with one of its own.
    add("own-local-table", "gif", b"GIF87a\x01\0\x01\0\0\0\0,\0\0\0\0\x01\0\x01\0\x80\0\0\0\xff\xff\xff\x02\x02D\x01\0;")


for part in [with_pillow, with_tifffile, with_imagecodecs, with_pypng, with_vips, by_hand]:
    part()
