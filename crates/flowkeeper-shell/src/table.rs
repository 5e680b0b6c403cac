//! Tables as SCDF's shell draws them: a double border, a double line under the header, thin separators.

/// A table of texts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Table {
    header: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(header: &[&'static str]) -> Table {
        Table { header: header.to_vec(), rows: Vec::new() }
    }

    /// Adds a row; it must have as many cells as the header.
    pub(crate) fn row<const N: usize>(&mut self, cells: [&str; N]) {
        self.row_of(cells.into_iter().map(str::to_owned).collect());
    }

    pub(crate) fn row_of(&mut self, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.header.len());
        self.rows.push(cells);
    }

    /// One line per row, cells separated by tabs, no header: for programs.
    pub(crate) fn plain(&self) -> String {
        let clean = |cell: &String| cell.replace(['\t', '\n'], " ");
        let line = |row: &Vec<String>| row.iter().map(clean).collect::<Vec<_>>().join("\t");
        self.rows.iter().map(|row| line(row) + "\n").collect()
    }

    /// The drawn table, at most `columns` wide where that leaves every column some room.
    pub(crate) fn draw(&self, columns: usize) -> String {
        let widths = self.widths(columns);
        let rule = |left: &str, middle: &str, right: &str| {
            let cells: Vec<_> = widths.iter().map(|width| "═".repeat(*width)).collect();
            format!("{left}{}{right}\n", cells.join(middle))
        };
        let mut text = rule("╔", "╤", "╗");
        let header: Vec<_> = self.header.iter().map(|cell| (*cell).to_owned()).collect();
        text += &draw_row(&header, &widths, center);
        text += &rule("╠", "╪", "╣");
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                let cells: Vec<_> = widths.iter().map(|width| "─".repeat(*width)).collect();
                text += &format!("╟{}╢\n", cells.join("┼"));
            }
            text += &draw_row(row, &widths, left);
        }
        text + &rule("╚", "╧", "╝")
    }

    /// Natural widths, the widest columns cut first until the table fits.
    fn widths(&self, columns: usize) -> Vec<usize> {
        const NARROWEST: usize = 12;
        let longest = |cell: &str| cell.lines().map(|line| line.chars().count()).max().unwrap_or(0);
        let column = |index: usize| {
            let cells = self.rows.iter().map(|row| longest(&row[index]));
            cells.chain([longest(self.header[index])]).max().unwrap_or(0).max(1)
        };
        let mut widths: Vec<_> = (0..self.header.len()).map(column).collect();
        while widths.iter().sum::<usize>() + widths.len() + 1 > columns {
            match widths.iter_mut().max() {
                Some(widest) if *widest > NARROWEST => *widest -= 1,
                _ => break,
            }
        }
        widths
    }
}

fn draw_row(cells: &[String], widths: &[usize], align: fn(&str, usize) -> String) -> String {
    let wrapped: Vec<_> = cells.iter().zip(widths).map(|(cell, width)| wrap(cell, *width)).collect();
    let height = wrapped.iter().map(Vec::len).max().unwrap_or(1).max(1);
    let line = |n: usize| {
        let cells = wrapped.iter().zip(widths);
        let cells: Vec<_> =
            cells.map(|(lines, width)| align(lines.get(n).map_or("", String::as_str), *width)).collect();
        format!("║{}║\n", cells.join("│"))
    };
    (0..height).map(line).collect()
}

fn left(text: &str, width: usize) -> String {
    format!("{text:<width$}")
}

fn center(text: &str, width: usize) -> String {
    format!("{text:^width$}")
}

/// Breaks a cell at blanks, and inside a word that is longer than the column.
fn wrap(cell: &str, width: usize) -> Vec<String> {
    let mut lines = Vec::new();
    for paragraph in cell.lines() {
        let mut line = String::new();
        for word in paragraph.split(' ') {
            let mut word: Vec<char> = word.chars().collect();
            let used = line.chars().count();
            if used > 0 && used + 1 + word.len() > width {
                lines.push(std::mem::take(&mut line));
            } else if used > 0 {
                line.push(' ');
            }
            while line.chars().count() + word.len() > width {
                let rest = word.split_off(width - line.chars().count());
                line.extend(word);
                lines.push(std::mem::take(&mut line));
                word = rest;
            }
            line.extend(word);
        }
        lines.push(line);
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&["Name", "Definition"]);
        table.row(["ticktock", "time | log"]);
        table.row(["x", "http --path-pattern=/a | log"]);
        table
    }

    #[test]
    fn draws_as_wide_as_its_content() {
        assert_eq!(
            table().draw(80),
            "╔════════╤════════════════════════════╗\n\
             ║  Name  │         Definition         ║\n\
             ╠════════╪════════════════════════════╣\n\
             ║ticktock│time | log                  ║\n\
             ╟────────┼────────────────────────────╢\n\
             ║x       │http --path-pattern=/a | log║\n\
             ╚════════╧════════════════════════════╝\n"
        );
    }

    #[test]
    fn wraps_to_the_terminal() {
        let drawn = table().draw(26);
        assert!(drawn.lines().all(|line| line.chars().count() <= 26), "{drawn}");
        assert!(drawn.contains("║x       │http           ║"), "{drawn}");
    }

    #[test]
    fn plain_rows_are_lines() {
        assert_eq!(table().plain(), "ticktock\ttime | log\nx\thttp --path-pattern=/a | log\n");
    }

    #[test]
    fn breaks_long_words() {
        assert_eq!(wrap("abcdefgh ij", 3), ["abc", "def", "gh", "ij"]);
        assert_eq!(wrap("a\nb", 5), ["a", "b"]);
    }
}
