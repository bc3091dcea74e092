"""Sentences of the library on a model that cannot be loaded, for `library_sentences.said`.

Each has a {field} for each part that changes.
"""

ERRORS = (
    "{name}: there is no such model folder; check the path.",
    "{name}: there is no model folder and no model of that name (known: {models}); give a folder, or "
    "set {variable} to the folder that holds it.",
    "{name}: {file} is missing; get the model folder again.",
    "{name}: the weights are damaged ({detail}); get the model folder again.",
    "{name}: it has {number} cells and {file} says {number_there}; the two are not of one model, get "
    "the model folder again.",
    "{name}: CLIP's weights could not be fetched from {host} ({detail}); check the connection and the "
    "free disk space and try again, what was fetched so far is kept",
    "{name}: {host} does not name size and hash of CLIP's weights; try again later",
    "{name}: another program on this machine is fetching CLIP's weights; wait for it",
    "{name}: CLIP's weights need {number} GB and {folder} has {number_left} GB left; make room, or set "
    "HF_HOME to a folder on another disk",
    "{name}: what {host} sent of CLIP's weights is not what it says it is; try again",
    "The environment variable {variable} is {value}; set it to coarse, middle or fine.",
    "{name}: {problem}; get the model folder again.",
    "{name}: {detail}; get the model folder again.",
    "{problem}.",
    "{name}: {problem}.",
    "{name}: crop_px is {value} and backbone {backbone} takes only {wanted}; get the model folder again.",
    "{name}: the weights lack {weight}, which backbone {backbone} has; get the model folder again.",
    "{name}: weight {weight} has shape {shape} and the network needs {wanted}; get the model folder again.",
    "{name}: the weights hold {weight}, which backbone {backbone} has not; get the model folder again.",
    "backbone {backbone} is not a model of timm {version}; check its spelling against "
    "timm.list_models() or install a newer timm.",
    "backbone {backbone} cannot give the average of its features, which the heads need ({detail}); "
    "choose one that can, as most of timm's do.",
    "geoclip: the package is not installed; install it with: pip install geoclip",
    "geoclip: the package transformers is not installed; install it with: pip install geoclip",
    "{name}: the package geoclip lacks this file; install it again: "
    "pip install --force-reinstall --no-deps geoclip",
    "{name}: it is no gallery with the columns LAT,LON; install geoclip again",
    "{name}: a line holds no two numbers ({detail}); install geoclip again",
    "{name}: the weights are damaged ({detail}); install geoclip again",
    "{name}: the weights do not fit ({detail}); install geoclip again",
    "{name}: CLIP cannot be read from it ({detail}); it must hold the files of {repository}: {files}.",
    "{name}: the weights lack {weight}; give those of {repository}.",
    "{name}: this CLIP gives {number} features of {side} pixels and GeoCLIP needs {number_wanted} of "
    "{side_wanted}; give {repository}.",
    "{variable}: {folder} holds no {file}; give a folder with the files of {repository}: {files}.",
)
"""Why a model cannot be loaded; those with {problem} are only for the problems below."""

SETTINGS = (
    "it holds no JSON object",
    "its format is {value} and this version reads {wanted}",
    "the key {key} is missing",
    "the key {key} is unknown",
    "class_counts is {value} and must be three whole numbers above 0",
    "crops is {value} and must be 'mean' or 'max'",
    "photo_kinds is {value} and must be a list of names",
    "a part of it has the wrong shape ({detail})",
    "temperature {key} is {value}; it must be a number above 0",
    "decoding rule {value} is unknown; use 'argmax', 'mass' or 'smooth'",
    "decoding radius_km is {value}; rule {rule} needs one above 0",
    "crop rule: {key} is {value}; give a whole number of pixels of at least 1",
    "crop rule: crop_px is {value}, more than resize_short_px ({limit}); crop at most what is left "
    "after resizing",
    "crop rule: {key} is {value}; give three numbers, for red, green and blue",
    "crop rule: std is {value}; give three numbers above 0",
    "crop rule: interpolation is {value}; give one of {known}",
    "crops is {value}; use 'mean' or 'max'",
    "crop rule: it is {value}; give a mapping of keys to values",
    "crop rule: unknown key {key}; the keys are {known}",
    "crop rule: missing key {key}; the keys are {known}",
)
"""What is wrong with a setting; stands in the place of {problem}."""

PARTITIONINGS = (
    "{name} is empty or has no header; a partition CSV begins {columns}",
    "{name} has a header but no cells",
    "{name} cannot be read: {detail}",
    "{where}: {number} fields instead of {number_wanted}",
    "{where}: class_label is {value} where {wanted} must follow: classes out of order",
    "{where}: not UTF-8 text; is this a partition CSV?",
    "{where}: not readable as CSV ({detail})",
    "{where}: no column {columns} among {found}; a partition CSV has {wanted}",
    "{where}: the column {column} comes more than once",
    "{where}: hex_id {value} was turned into a number by a spreadsheet; take the original file (hex_id "
    "must stay text)",
    "{where}: hex_id {value} is not an S2 cell token",
    "{where}: imgs_per_cell {value} is not a whole number above 0",
    "{where}: {column} {value} is not a number",
    "{where}: {column} {value} is beyond {limit} degrees",
    "{where}: {column} {value} is beyond {limit} degrees; are latitude and longitude swapped?",
    "{where}: the cell {token} is already on line {line}",
    "{where}: the cell {token} lies in the cell {outer} of line {line}; cells must not overlap",
    "{where}: the mean coordinate {point} is nowhere near the cell {token}; one of the two is damaged",
    "the hierarchy is incomplete: the fine cell {token} of {name} lies in no {level} cell of {other}; "
    "make all three partitionings from the same photos with the same img_min",
)
"""What is wrong with a partitioning; stands in the place of {problem}, or by itself."""
