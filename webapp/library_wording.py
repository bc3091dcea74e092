"""Sentences of geo_model about photos, archives and tables that visitors give, to be said in their language.

The library writes plain English; each text here is one of its sentences, with a {field} for each part that
changes. `library_sentences.said` finds the text that a sentence was made by.
"""

PHOTOS = (
    "{name}: the file is empty; give a photo.",
    "{name}: the file is larger than {number} MiB; give a smaller copy of the photo.",
    "{name}: this is not a photo in a known format; give {formats}.",
    "{name}: there is no such file; check the path.",
    "{name}: the file cannot be read ({detail}); check the path.",
    "{name}: reading it failed ({detail}); give the photo as a file.",
    "{name}: the photo has too many pixels ({detail}); give a smaller copy of the photo.",
    "{name}: this is not a photo, or its header is damaged ({detail}); give {formats}.",
    "{name}: this is not an ordinary file; give the path of a photo.",
    "{name}: this is a folder; give the path of a photo.",
    "{name}: the photo has {number} pixels, more than the {number_allowed} million that are allowed; "
    "give a smaller copy of the photo.",
    "{name}: there is not enough memory to decode it; give a smaller copy of the photo.",
    "{name}: the {format} data is damaged or incomplete ({detail}); get a fresh copy of the photo.",
    "{name}: the photo is gone; add it again.",
)

FORMATS = ("JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF",)

REFUSALS = (
    "its name is no path inside the archive",
    "its name leads out of the archive",
    "it is an archive inside the archive",
    "it is no photo",
    "it unpacks to {number} MiB, and {number_allowed} are the most",
    "it unpacks to {number} times its size, as no photo does",
    "it is encrypted",
    "it is a link or a device, not a file",
    "it shares its bytes with another entry",
    "another entry has the same name",
)
"""Why an entry of an archive is not used."""

ARCHIVES = (
    "{name}: it holds no photo that can be used. Give files ending in {suffixes}.",
    "{name}: it holds no photo that can be used; of its {number} other entries the first is {entry}: "
    "{reason}. Give files ending in {suffixes}.",
    "{name} cannot be read: {detail}; check the path.",
    "{name}: it has more than {number} entries; split it.",
    "{name}: up to {entry} it unpacks to more than {number} GiB; split it.",
    "{name}: up to {entry} it unpacks to more than {number} times its size, as no photos do; make it again.",
    "{name}: it is damaged or cut short after {number} files; make it again.",
    "{name}: it is no zip or tar that can be read; make it again.",
    "{name}: its list of entries takes {number} MiB; split the zip.",
    "{name}: it is not JSON of at most {number} bytes; write the tar again.",
    "{name}: it holds no photo; give a folder or a tar with files ending in {suffixes}.",
    "{name}: the folder cannot be listed ({detail}); check its permissions.",
    "{name}: there is no such folder or tar; check the path.",
    "{name}: it is not an ordinary file; give a folder or a tar.",
)

TABLES = (
    "{name}, line 1: the header needs the columns {columns} or {others} and has {found}.",
    "{name}: it has a header and no line below; give at least one photo's coordinate.",
    "{name}: it has a header and no line below; give at least one photo.",
    "{where}: {value} is not finite; give the {axis} in degrees.",
    "{where}: {value} is not a number; give the {axis} in degrees.",
    "{where}: latitude {value} is beyond {limit} degrees; are latitude and longitude swapped?",
    "{where}: longitude {value} is beyond {limit} degrees; give it in -180 to 180.",
    "{where}: it has {number} cells and the header names more; complete the line.",
    "{where}: it has {number} cells and the header has {number_of_header}; a text with a comma in it must "
    "stand in quotes.",
    "{where}: it is empty; name the photo.",
    "{where}: {value} is already in line {line}; keep one of the two.",
    "{where}: {value} is no web address; the photo is shown without it.",
    "{name} cannot be read: {detail}; give the path of a CSV file.",
    "{name}: it is not UTF-8 text; save the table as CSV in UTF-8.",
    "{where}: it is not CSV ({detail}); save the table as CSV.",
    "{row} No other row can be used either.",
    "{name}: none of its {number} photos has an answer; the first, {photo}: {reason}.",
)

AXES = ("latitude", "longitude")

POSITIONS = ("{name}, line {line}, column {column}", "{name}, line {line}", "{name}, key {key}")
"""Where in a file something is."""

RUNS = ("The run ended with {kind}; go on to try again.",)
