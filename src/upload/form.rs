//! Where the checksum of a picture is.

use std::str::FromStr;

/// Where the CRC-32 of a picture is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// Behind the picture, which can be sent while it arrives: [`super::checksum_trailer`].
    Trailer,
    /// In a header, for which the picture must have arrived.
    Header,
    /// Nowhere.
    None,
}

impl Form {
    /// As the setting names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Trailer => "trailer",
            Self::Header => "header",
            Self::None => "none",
        }
    }

    /// The form of a store that knows less of S3.
    pub(super) const fn next(self) -> Option<Self> {
        match self {
            Self::Trailer => Some(Self::Header),
            Self::Header => Some(Self::None),
            Self::None => None,
        }
    }

    /// What it means for pictures.
    pub(super) const fn meaning(self) -> &'static str {
        match self {
            Self::Trailer => "pictures are sent while they arrive, with the checksum behind them",
            Self::Header => {
                "pictures of up to 8 MiB are read before they are sent, with the checksum in a header"
            }
            Self::None => {
                "pictures of up to 8 MiB are read before they are sent, without a checksum"
            }
        }
    }
}

/// The value of `--checksum`: `auto` is `None`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChecksumSetting(pub(super) Option<Form>);

impl FromStr for ChecksumSetting {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let forms = [Form::Trailer, Form::Header, Form::None];
        match forms.into_iter().find(|form| form.name() == text) {
            Some(form) => Ok(Self(Some(form))),
            None if text == "auto" || text.is_empty() => Ok(Self(None)),
            None => Err(format!("{text:?} is not one of auto, trailer, header and none")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_has_a_name_and_all_others_are_refused() {
        for form in [Form::Trailer, Form::Header, Form::None] {
            assert_eq!(form.name().parse(), Ok(ChecksumSetting(Some(form))));
        }
        assert_eq!("auto".parse(), Ok(ChecksumSetting::default()));
        assert!("crc32".parse::<ChecksumSetting>().is_err());
    }
}
