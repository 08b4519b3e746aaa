//! Forms in HTML, as far as one has to know them to fill them in. Tolerant: a page that is not understood has none.

use url::Url;

/// A form of a page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Form {
    action: Option<String>,
    pub(super) is_post: bool,
    inputs: Vec<Input>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Input {
    kind: String,
    name: String,
    value: String,
    is_ticked: bool,
}

/// Names of fields, where a page's own cannot be told.
#[derive(Clone, Debug, Default)]
pub(super) struct Names {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
}

/// What a page says in one tag.
struct Tag<'a> {
    name: String,
    attributes: Vec<(String, &'a str)>,
}

/// The forms of a page.
pub(super) fn forms(html: &str) -> Vec<Form> {
    let mut all = Vec::new();
    let mut open: Option<Form> = None;
    for tag in tags(html) {
        match (tag.name.as_str(), &mut open) {
            ("form", None) => open = Some(Form::of(&tag)),
            ("/form", Some(_)) => all.extend(open.take()),
            ("input", Some(form)) => form.inputs.push(Input::of(&tag)),
            ("button", Some(form)) if tag.value("name").is_some() => {
                form.inputs.push(Input { kind: "submit".to_owned(), ..Input::of(&tag) });
            }
            _ => {}
        }
    }
    all.extend(open);
    all
}

/// The addresses that a page's links lead to.
pub(super) fn links(html: &str) -> Vec<String> {
    let anchors = tags(html).into_iter().filter(|tag| tag.name == "a");
    anchors.filter_map(|tag| tag.value("href")).collect()
}

/// The form that asks for a password.
pub(super) fn login_form(html: &str, names: &Names) -> Option<Form> {
    forms(html).into_iter().find(|form| form.password(names).is_some())
}

/// Whether a page says that there were too many attempts.
pub(super) fn is_refusal(html: &str) -> bool {
    let page = html.to_ascii_lowercase();
    ["too many", "locked", "try again later"].iter().any(|words| page.contains(words))
}

impl Form {
    fn of(tag: &Tag<'_>) -> Self {
        let method = tag.value("method").unwrap_or_default();
        Self {
            action: tag.value("action").filter(|action| !action.trim().is_empty()),
            is_post: method.eq_ignore_ascii_case("post"),
            inputs: Vec::new(),
        }
    }

    /// Where it is sent; `None` where no browser would know.
    pub(super) fn target(&self, page: &Url) -> Option<Url> {
        match &self.action {
            Some(action) => page.join(action.trim()).ok(),
            None => Some(page.clone()),
        }
    }

    fn password(&self, names: &Names) -> Option<&Input> {
        let wanted = |input: &&Input| match &names.password {
            Some(name) => input.name == *name,
            None => input.kind == "password" && !input.name.is_empty(),
        };
        self.inputs.iter().find(wanted)
    }

    /// The field for the name: the one before the password that takes text.
    fn user(&self, names: &Names) -> Option<&Input> {
        if let Some(name) = &names.user {
            return self.inputs.iter().find(|input| input.name == *name);
        }
        let password = self.password(names)?;
        let before = self.inputs.iter().take_while(|input| *input != password);
        before.filter(|input| input.is_text() && !input.name.is_empty()).last()
    }

    /// What is sent once user and password are filled in; `None` where there is no place for them.
    pub(super) fn filled(&self, names: &Names, user: &str, password: &str) -> Option<Vec<(String, String)>> {
        let (user_field, password_field) =
            (self.user(names)?.name.clone(), self.password(names)?.name.clone());
        let rest =
            self.fields().into_iter().filter(|(name, _)| *name != user_field && *name != password_field);
        let own = [(user_field.clone(), user.to_owned()), (password_field.clone(), password.to_owned())];
        Some(rest.chain(own).collect())
    }

    /// What is sent as it stands there.
    pub(super) fn fields(&self) -> Vec<(String, String)> {
        let sent = self.inputs.iter().filter(|input| input.is_sent());
        sent.map(|input| (input.name.clone(), input.value.clone())).collect()
    }

    /// Whether its address is what `is_meant` looks for.
    pub(super) fn is_about(&self, is_meant: impl Fn(&str) -> bool) -> bool {
        self.action.as_deref().is_some_and(is_meant)
    }

    /// The names of its hidden fields, where tokens are.
    pub(super) fn hidden(&self) -> Vec<String> {
        let hidden = self.inputs.iter().filter(|input| input.kind == "hidden");
        hidden.map(|input| input.name.clone()).collect()
    }
}

impl Input {
    fn of(tag: &Tag<'_>) -> Self {
        let kind =
            tag.value("type").map_or_else(|| "text".to_owned(), |kind| kind.trim().to_ascii_lowercase());
        let is_choice = matches!(kind.as_str(), "checkbox" | "radio");
        let unsaid = if is_choice { "on" } else { "" };
        Self {
            name: tag.value("name").unwrap_or_default(),
            value: tag.value("value").unwrap_or_else(|| unsaid.to_owned()),
            is_ticked: tag.value("checked").is_some(),
            kind,
        }
    }

    fn is_text(&self) -> bool {
        matches!(self.kind.as_str(), "text" | "email" | "tel" | "search" | "url" | "number")
    }

    fn is_sent(&self) -> bool {
        let is_sent = match self.kind.as_str() {
            "checkbox" | "radio" => self.is_ticked,
            "submit" | "button" | "reset" | "image" | "file" => false,
            _ => true,
        };
        is_sent && !self.name.is_empty()
    }
}

impl Tag<'_> {
    fn value(&self, name: &str) -> Option<String> {
        let (_, value) = self.attributes.iter().find(|(own, _)| own == name)?;
        Some(unescaped(value))
    }
}

/// Every tag, without comments and what stands in scripts and styles.
fn tags(html: &str) -> Vec<Tag<'_>> {
    let mut found = Vec::new();
    let mut rest = html;
    while let Some(at) = rest.find('<') {
        rest = &rest[at + 1..];
        if let Some(comment) = rest.strip_prefix("!--") {
            rest = comment.split_once("-->").map_or("", |(_, after)| after);
            continue;
        }
        if !rest.starts_with(|first: char| first.is_ascii_alphabetic() || first == '/') {
            continue;
        }
        let (tag, after) = tag(rest);
        rest = after;
        if matches!(tag.name.as_str(), "script" | "style" | "template" | "textarea") {
            rest = after_text(rest, &tag.name);
        }
        found.push(tag);
    }
    found
}

/// What follows the end of an element whose content is no markup.
fn after_text<'a>(html: &'a str, name: &str) -> &'a str {
    let end = format!("</{name}");
    let found = html.as_bytes().windows(end.len()).position(|part| part.eq_ignore_ascii_case(end.as_bytes()));
    found.map_or("", |at| &html[at..])
}

/// The tag at the start of `html`, which stands behind its `<`, and what follows it.
fn tag(html: &str) -> (Tag<'_>, &str) {
    let is_end = |c: char| c.is_ascii_whitespace() || c == '>';
    let end = html[1..].find(|c| is_end(c) || c == '/').map_or(html.len(), |at| at + 1);
    let mut tag = Tag { name: html[..end].to_ascii_lowercase(), attributes: Vec::new() };
    let mut rest = &html[end..];
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_ascii_whitespace() || c == '/');
        if let Some(after) = rest.strip_prefix('>') {
            return (tag, after);
        }
        if rest.is_empty() {
            return (tag, "");
        }
        // The first character belongs to the name, whatever it is (HTML §13.2.5.32).
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end =
            rest[first..].find(|c| is_end(c) || c == '=' || c == '/').map_or(rest.len(), |at| at + first);
        let name = rest[..end].to_ascii_lowercase();
        rest = &rest[end..];
        let value = match rest.trim_start().strip_prefix('=') {
            None => "",
            Some(after) => {
                let (value, after) = value(after.trim_start());
                rest = after;
                value
            }
        };
        tag.attributes.push((name, value));
    }
}

fn value(html: &str) -> (&str, &str) {
    for quote in ['"', '\''] {
        if let Some(quoted) = html.strip_prefix(quote) {
            return quoted.split_once(quote).unwrap_or((quoted, ""));
        }
    }
    let end = html.find(|c: char| c.is_ascii_whitespace() || c == '>').unwrap_or(html.len());
    html.split_at(end)
}

/// The five references that stand in tokens and addresses, and those by number.
fn unescaped(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        // Not looked for any further, so that a page of ampersands takes no longer than another.
        let end = after.bytes().take(9).position(|byte| byte == b';');
        let reference = end.map(|end| (&after[..end], &after[end + 1..]));
        let known = reference.and_then(|(name, after)| Some((character(name)?, after)));
        let (character, after) = known.unwrap_or(('&', after));
        out.push(character);
        rest = after;
    }
    out.push_str(rest);
    out
}

fn character(name: &str) -> Option<char> {
    let number = |text: &str, radix| u32::from_str_radix(text, radix).ok().and_then(char::from_u32);
    match name {
        "amp" => Some('&'),
        "lt" => Some('<'),
        "gt" => Some('>'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let digits = name.strip_prefix('#')?;
            match digits.strip_prefix(['x', 'X']) {
                Some(hexadecimal) => number(hexadecimal, 16),
                None => number(digits, 10),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filled(html: &str) -> Option<Vec<(String, String)>> {
        let names = Names::default();
        login_form(html, &names)?.filled(&names, "alice", "secret")
    }

    #[test]
    fn a_login_form_is_filled_as_a_browser_would() {
        let html = r#"<!-- <form><input type=password name=no></form> --><script>"<form><input type='password' name=x>"</script>
            <form action=/search><input name=q></form>
            <FORM METHOD=post ACTION='/in?a=1&amp;b=2'><input type=hidden name=csrf value="a&#43;b&quot;">
            <input name=email type=email><input type=checkbox name=keep value=1><input type=checkbox name=agreed checked>
            <input name='pw' type=PASSWORD /><input type=submit name=go value=Go></FORM>"#;
        let expected = [("csrf", "a+b\""), ("agreed", "on"), ("email", "alice"), ("pw", "secret")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
        assert_eq!(filled(html), Some(expected));
        let form = login_form(html, &Names::default()).unwrap();
        let page = Url::parse("https://app.test/login?next=/x").unwrap();
        assert!(form.is_post);
        assert_eq!(form.target(&page).unwrap().as_str(), "https://app.test/in?a=1&b=2");
    }

    #[test]
    fn a_form_without_an_action_goes_to_its_page() {
        let form = &forms("<form method=post><input name=a>")[0];
        let page = Url::parse("https://app.test/login?next=/x").unwrap();
        assert_eq!(form.target(&page), Some(page));
    }

    #[test]
    fn no_page_makes_the_scanner_stumble() {
        let pages = [
            "<",
            "</",
            "<a",
            "<a =",
            "<a b=",
            "<a b='",
            "<é",
            "<aé=é é",
            "<a é",
            "<!--",
            "<script",
            "<form><form>",
            "&",
            "<input type=password>",
        ];
        for page in pages {
            assert_eq!(filled(page), None, "{page}");
        }
        assert_eq!(unescaped(&"&".repeat(2_000_000)).len(), 2_000_000);
        assert_eq!(unescaped("&&amp;&x;&#xfffffff;&#65;"), "&&&x;&#xfffffff;A");
    }
}
