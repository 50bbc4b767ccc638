//! Documents with real credentials that are not as they should be.

use std::time::Duration;

use sandbox::Credentials;

use crate::case::Place;
use crate::cases::raw;

/// What is wrong with a document.
#[derive(Clone, Copy, Debug)]
pub enum Spoilt {
    /// It ends in the middle of the session token.
    CutInToken,
    /// It has no field of this name.
    Without(&'static str),
    /// The field of this name has its value in a list or in another element.
    Nested(&'static str),
    /// The field of this name has a text that it cannot have.
    Nonsense(&'static str),
}

/// The answer of the agent or of STS with new credentials, spoilt.
pub fn answer(place: Place, credentials: &Credentials, spoilt: Spoilt) -> Vec<u8> {
    let issued = credentials.issue(Duration::from_hours(1));
    let token = &issued.session_token;
    let name_of_token = if place == Place::Sts { "SessionToken" } else { "Token" };
    let fields = [
        ("AccessKeyId", issued.access_key_id.as_str()),
        ("SecretAccessKey", issued.secret_access_key.as_str()),
        (name_of_token, token),
        ("Expiration", "2099-01-01T00:00:00Z"),
    ];
    let mut inside = Vec::new();
    for (name, value) in fields {
        let value = if let Spoilt::Nonsense(it) = spoilt
            && it == name
        {
            "tomorrow"
        } else {
            value
        };
        let is_nested = matches!(spoilt, Spoilt::Nested(it) if it == name);
        inside.push(match (place, is_nested) {
            _ if matches!(spoilt, Spoilt::Without(it) if it == name) => continue,
            (Place::Sts, false) => format!("<{name}>{value}</{name}>"),
            (Place::Sts, true) => format!("<{name}><Value>{value}</Value></{name}>"),
            (_, false) => format!("\"{name}\":\"{value}\""),
            (_, true) => format!("\"{name}\":[\"{value}\"]"),
        });
    }
    let (media_type, mut document) = if place == Place::Sts {
        let action = "AssumeRoleWithWebIdentity";
        let inside = inside.concat();
        let document = format!(
            "<{action}Response xmlns=\"https://sts.amazonaws.com/doc/2011-06-15/\">\
             <{action}Result><Credentials>{inside}</Credentials></{action}Result>\
             </{action}Response>"
        );
        ("text/xml", document)
    } else {
        ("application/json", format!("{{{}}}", inside.join(",")))
    };
    if let Spoilt::CutInToken = spoilt {
        let from = document.find(token.as_str()).expect("it has the token");
        document.truncate(from + token.len() / 2);
    }
    let length = document.len();
    let head = format!("HTTP/1.1 200 OK\nContent-Type: {media_type}\nContent-Length: {length}");
    raw(&head, document.as_bytes())
}
