"""Tiles of an image whose score maps stitch to the score map of the whole image.

All numbers are units of the score map (stride pixels each) along one axis.  A net without
padding gives each unit from its own window of the padded image, so tiles need no overlap; a
net with zero padding is wrong near a cut edge, so a tile carries `overlap` more units there,
which are thrown away.  At the image's own edge nothing is added: there the whole image would
be padded with zeros too.
"""
from collections import namedtuple

#: keep: units [start, stop) this tile contributes; run: units [start, stop) it computes.
Span = namedtuple("Span", "keep_start keep_stop run_start run_stop")


def spans(units, tile, overlap):
    """List of Span that cover 0..units, each keeping at most `tile` units.

    The kept lengths differ by at most one, so that the net is reshaped rarely.
    """
    if units < 1 or tile < 1 or overlap < 0:
        raise ValueError("units and tile must be at least 1 and overlap at least 0")
    count = -(-units // tile)
    edges = [units * i // count for i in range(count + 1)]
    return [
        Span(a, b, max(0, a - overlap), min(units, b + overlap)) for a, b in zip(edges, edges[1:])
    ]


def choose_tile(geometry, units, budget):
    """Largest kept tile (rows, columns) in units whose forward pass stays within `budget` bytes.

    units: (rows, columns) of the whole score map.  The longer side is halved until it fits;
    the smallest tile is 8 units a side, whatever it costs.
    """
    tile = list(units)
    while tile_bytes(geometry, units, tile) > budget and max(tile) > 8:
        longer = 0 if tile[0] >= tile[1] else 1
        tile[longer] = max(8, -(-tile[longer] // 2))
    return tuple(tile)


def tile_bytes(geometry, units, tile):
    """Bytes of the forward pass over the largest tile, overlap and margin included."""
    pixels = []
    for whole, kept in zip(units, tile):
        longest = max(s.run_stop - s.run_start for s in spans(whole, kept, geometry.overlap))
        pixels.append(longest * geometry.stride + 2 * geometry.margin)
    return geometry.forward_bytes(*pixels)
