//! Maven coordinates: what `maven://group:artifact[:extension[:classifier]]:version` names, and where a repository keeps it.

use std::fmt;

/// Longest coordinate, in bytes.
const MAX_LENGTH: usize = 1024;
/// End of the version of an artifact that changes while its version does not.
const SNAPSHOT: &str = "SNAPSHOT";

/// One artifact. Its parts are made of letters, digits and `._-+~`, and never lead out of a folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Coordinate {
    group: String,
    artifact: String,
    extension: String,
    classifier: Option<String>,
    version: String,
}

impl Coordinate {
    /// Reads what stands behind `maven:`; slashes before it are skipped.
    ///
    /// # Errors
    /// What is wrong with it, as the end of a sentence.
    pub fn parse(text: &str) -> Result<Coordinate, String> {
        if text.len() > MAX_LENGTH {
            return Err(format!("it is longer than {MAX_LENGTH} bytes"));
        }
        let parts: Vec<&str> = text.trim_start_matches('/').split(':').collect();
        let (group, artifact, extension, classifier, version) = match *parts.as_slice() {
            [group, artifact, version] => (group, artifact, "", None, version),
            [group, artifact, extension, version] => (group, artifact, extension, None, version),
            [group, artifact, extension, classifier, version] => {
                (group, artifact, extension, Some(classifier), version)
            }
            _ => return Err(format!("it has {} parts between colons instead of 3 to 5", parts.len())),
        };
        let extension = if extension.is_empty() { "jar" } else { extension };
        let named = [
            ("group", Some(group)),
            ("artifact", Some(artifact)),
            ("extension", Some(extension)),
            ("classifier", classifier),
            ("version", Some(version)),
        ];
        for (what, part) in named {
            part.map_or(Ok(()), |part| check(what, part))?;
        }
        if matches!(version, "LATEST" | "RELEASE") {
            return Err(format!("{version} is no version: a release of a stream must always mean the same"));
        }
        Ok(Coordinate {
            group: group.to_owned(),
            artifact: artifact.to_owned(),
            extension: extension.to_owned(),
            classifier: classifier.map(str::to_owned),
            version: version.to_owned(),
        })
    }

    pub fn version(&self) -> &str {
        &self.version
    }

    pub(super) fn extension(&self) -> &str {
        &self.extension
    }

    pub(super) fn classifier(&self) -> Option<&str> {
        self.classifier.as_deref()
    }

    /// Whether the version stands for the newest build of it.
    pub(super) fn is_snapshot(&self) -> bool {
        self.version.ends_with("-SNAPSHOT") || self.version == SNAPSHOT
    }

    /// Folder of the version in any repository.
    pub(super) fn folder(&self) -> String {
        let base = base_version(&self.version);
        format!("{}/{}/{base}", self.group.replace('.', "/"), self.artifact)
    }

    /// Name of the file of build `version`; [`Coordinate::version`] for that of a release.
    pub(super) fn file(&self, version: &str) -> String {
        let Coordinate { artifact, extension, classifier, .. } = self;
        let classifier = classifier.as_ref().map_or_else(String::new, |classifier| format!("-{classifier}"));
        format!("{artifact}-{version}{classifier}.{extension}")
    }
}

impl fmt::Display for Coordinate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Coordinate { group, artifact, extension, version, .. } = self;
        match &self.classifier {
            Some(classifier) => write!(f, "{group}:{artifact}:{extension}:{classifier}:{version}"),
            None => write!(f, "{group}:{artifact}:{extension}:{version}"),
        }
    }
}

/// Whether `version` is safe as part of the name of a file.
pub(super) fn is_safe(version: &str) -> bool {
    check("version", version).is_ok()
}

fn check(what: &str, part: &str) -> Result<(), String> {
    if part.is_empty() {
        return Err(format!("its {what} is empty"));
    }
    let is_fine = |c: char| c.is_ascii_alphanumeric() || "._-+~".contains(c);
    if let Some(wrong) = part.chars().find(|c| !is_fine(*c)) {
        return Err(format!("its {what} '{part}' has the character '{}'", wrong.escape_debug()));
    }
    if part.split('.').any(str::is_empty) {
        return Err(format!("its {what} '{part}' has a dot at its start or end, or two in a row"));
    }
    Ok(())
}

/// `1.0-SNAPSHOT` for the build `1.0-20260102.030405-6` of it; any other version as it is.
fn base_version(version: &str) -> String {
    let build = || {
        let (rest, number) = version.rsplit_once('-')?;
        let (base, time) = rest.rsplit_once('-')?;
        let (day, second) = time.split_once('.')?;
        let are_digits = |text: &str, n: usize| text.len() == n && text.bytes().all(|b| b.is_ascii_digit());
        let is_build = are_digits(day, 8) && are_digits(second, 6) && are_digits(number, number.len().max(1));
        is_build.then(|| format!("{base}-{SNAPSHOT}"))
    };
    build().unwrap_or_else(|| version.to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(text: &str) -> String {
        let coordinate = Coordinate::parse(text).expect(text);
        format!("{}/{}", coordinate.folder(), coordinate.file(coordinate.version()))
    }

    #[test]
    fn coordinates_have_three_to_five_parts() {
        for (text, expected) in [
            ("//org.example.apps:time:1.0", "org/example/apps/time/1.0/time-1.0.jar"),
            ("g:a:zip:2", "g/a/2/a-2.zip"),
            ("g:a::2", "g/a/2/a-2.jar"),
            ("g:a:jar:metadata:3.2.1", "g/a/3.2.1/a-3.2.1-metadata.jar"),
            ("g:a:tar.gz:bin:1+x", "g/a/1+x/a-1+x-bin.tar.gz"),
            ("g:a:1-SNAPSHOT", "g/a/1-SNAPSHOT/a-1-SNAPSHOT.jar"),
            ("g:a:1-20260102.030405-6", "g/a/1-SNAPSHOT/a-1-20260102.030405-6.jar"),
        ] {
            assert_eq!(place(text), expected);
        }
    }

    #[test]
    fn what_could_lead_out_of_a_folder_is_refused() {
        for (text, reason) in [
            ("g:a", "2 parts"),
            ("a:b:c:d:e:f", "6 parts"),
            ("", "1 parts"),
            ("g::1", "artifact is empty"),
            ("..:a:1", "group '..' has a dot"),
            ("g..h:a:1", "two in a row"),
            ("g:..:1", "artifact '..'"),
            ("g:a:..", "version '..'"),
            ("g:a:../../x:1", "the character '/'"),
            ("g:a:jar:x/y:1", "the character '/'"),
            ("g:a\\b:1", "the character"),
            ("g:a%2e:1", "the character '%'"),
            ("g:a:jar:\0:1", "the character '\\0'"),
            ("g:a:[1,2)", "the character '['"),
            ("g:a:LATEST", "LATEST is no version"),
        ] {
            let refused = Coordinate::parse(text).expect_err(text);
            assert!(refused.contains(reason), "{text}: {refused}");
        }
        assert!(Coordinate::parse(&format!("g:a:{}", "1".repeat(2000))).is_err());
    }

    proptest! {
        #[test]
        fn a_place_is_always_below_the_repository(text in "[a-z./:%\\\\-]{0,40}|.*") {
            if let Ok(coordinate) = Coordinate::parse(&text) {
                let place = format!("{}/{}", coordinate.folder(), coordinate.file(coordinate.version()));
                let is_plain = |c: std::path::Component<'_>| matches!(c, std::path::Component::Normal(_));
                prop_assert!(std::path::Path::new(&place).components().all(is_plain), "{}", place);
                prop_assert!(!place.contains("//") && !place.contains('\\') && !place.contains('%'));
            }
        }
    }
}
