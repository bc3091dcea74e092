"""The longer texts of the page Locate; each is an English text for `tr`. Nothing here knows Streamlit."""

PRIVACY = (
    "Photos stay in this app's memory while the page is open, those put away too, so that you can take that "
    "back. They are not stored, logged or sent anywhere, and the model sees only the pixels, never the name "
    "or the metadata."
)
RESPONSIBLE_USE = (
    "Only locate photos that you may. Do not use this to find, follow or harass a person, or to decide "
    "anything about one: the answers are often wrong."
)
UPLOAD_HELP = (
    "Drop photos here or choose them, up to {most} at once: JPEG, PNG, WebP, TIFF, BMP, GIF, HEIC or AVIF."
)
REPEATED = "Already there and not added again: {photos}."
TOO_MANY = "Left out: {photos}. The page takes {most} photos at once; put some away first."

CARRIES_LOCATION = (
    "This photo carries the place where it was taken in its file. Whoever gets the file can read it, unless "
    "the metadata is taken out."
)
REGION_HELP = (
    "The 90% credible region is the smallest set of fine cells that holds 90% of the probability. Its area "
    "counts the sea in these cells."
)
ANSWER = (
    "The 90% region covers **{area}**, {in_words}, in {cells}. The answer's own cell holds {share} of the "
    "probability."
)
SURE_HELP = "Within what the place is likely to lie, by the area of the 90% credible region."
IN_REGION_50 = "That place lies inside the 50% credible region."
IN_REGION_90 = "That place lies outside the 50% credible region and inside the 90% region."
IN_NO_REGION = "That place lies outside the 90% credible region."

SHARES_HELP = (
    "The probability of all fine cells, summed up by the country and the continent of the populated place "
    "nearest to each cell."
)

MAP_INTRODUCTION = (
    "Orange raised the score of the chosen place, blue lowered it. It says which parts of the photo "
    "mattered, not why; each part was seen together with what lies around it."
)
MAP_ROLLOUT = (
    "Orange is where the network looked most, whichever place is chosen: this network has no map of its own "
    "for each place."
)
MAP_UNSEEN = "What is darkened was not looked at."
NO_MAP = (
    "There is no such picture for the model loaded here: it does not answer from the mean of its last "
    "feature map, and has no other map of what mattered."
)

CLEAN_LOSSLESS = (
    "Everything but the picture and its colour profile is cut out of the file; the pixels are not touched."
)
CLEAN_ENCODED = (
    "The picture is turned upright and written again as PNG, pixel for pixel, in sRGB colours; nothing else "
    "of the file is kept. The file may be larger."
)
CLEAN_HELP = (
    "Without EXIF, XMP, IPTC, comments, previews and the place where it was taken. The pixels can still give "
    "a place away, as this page shows."
)

COMBINED_HELP = (
    "The network answers at three resolutions. *Combined* multiplies the three along the hierarchy, and "
    "gives the answer."
)
SUMS_HELP = (
    "This model compares the photo with a gallery of places and answers with the best of them. Their "
    "probabilities are added up in the cells of each level; *Combined* is the same as *Fine*."
)
ANSWER_BY_MASS = (
    "The answer is not among them: the model answers with the place that has the most probability in the "
    "wide area around it, which can lie far from the most probable single cells."
)
ANSWER_FROM_GALLERY = (
    "The answer is not among them: it is the one place that fits best, and these cells hold more by many "
    "places together."
)

NO_GLOBE = "The globe needs Streamlit 1.67 and Python 3.11, or newer. This is the flat map."
