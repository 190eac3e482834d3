//! What an imported name stands for in the project itself.

use crate::analysis::python::program::Program;

/// What a dotted name leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Nothing of the project's.
    Library,
    /// One of its modules.
    Module,
    /// A variable of one of its modules, or with `whole` false something that the variable leads to.
    Data { file: usize, name: String, whole: bool },
    /// Functions, or methods of a class.
    Functions(Vec<usize>),
    /// A class, by its name.
    Class(String),
}

/// Names that are imported from one module to the next, at most this often.
const MAX_HOPS: usize = 8;

impl<'a> Program<'a> {
    /// What a dotted name, as `import` gives it, stands for.
    pub(super) fn origin(&self, dotted: &str) -> Origin {
        self.origin_within(dotted, MAX_HOPS)
    }

    fn origin_within(&self, dotted: &str, hops: usize) -> Origin {
        let parts: Vec<&str> = dotted.split('.').collect();
        for length in (1..=parts.len()).rev() {
            let Some(file) = self.file_of(&parts[..length].join(".")) else { continue };
            let Some(name) = parts.get(length) else { return Origin::Module };
            return self.member(file, name, &parts[length + 1..], hops);
        }
        Origin::Library
    }

    fn member(&self, file: usize, name: &str, rest: &[&str], hops: usize) -> Origin {
        let module = &self.units[self.files[file].unit];
        let here = |unit: &usize| self.units[*unit].file == file;
        if module.variables.contains(name) {
            return Origin::Data { file, name: name.to_owned(), whole: rest.is_empty() };
        }
        if let Some(imported) = self.import(file, name).filter(|_| hops > 0) {
            let whole: Vec<&str> = std::iter::once(imported).chain(rest.iter().copied()).collect();
            return self.origin_within(&whole.join("."), hops - 1);
        }
        if let Some((class, _)) = self.classes.get_key_value(name).filter(|_| module.locals.contains(name)) {
            return match rest.first() {
                None => Origin::Class((*class).to_owned()),
                Some(method) => {
                    let methods = self.methods(method).into_iter();
                    Origin::Functions(methods.filter(|unit| self.units[*unit].class == Some(*class)).collect())
                }
            };
        }
        Origin::Functions(self.functions(name).into_iter().filter(here).collect())
    }

    /// Whether a name in a file is a variable of another module of the project.
    pub(super) fn is_imported_data(&self, file: usize, name: &str) -> bool {
        let origin = self.import(file, name).map(|dotted| self.origin(dotted));
        matches!(origin, Some(Origin::Data { whole: true, .. }))
    }

    /// Whether a name in a file is imported from a library.
    pub(super) fn is_foreign(&self, file: usize, name: &str) -> bool {
        self.import(file, name).is_some_and(|dotted| self.origin(dotted) == Origin::Library)
    }

    /// Whether a module's name is a variable: its own, or another module's of the project that it imports.
    pub(super) fn is_data(&self, file: usize, name: &str) -> bool {
        self.units[self.files[file].unit].variables.contains(name) || self.is_imported_data(file, name)
    }

    /// The file of a module: beside the script, whose folder is searched first, from the project's root, or in a folder that
    /// something else puts on the path.
    fn file_of(&self, module: &str) -> Option<usize> {
        let named = |file: usize| {
            let path = self.files[file].path.trim_end_matches(".py");
            path.strip_suffix("/__init__").unwrap_or(path).replace('/', ".")
        };
        let beside =
            self.files[0].path.rsplit_once('/').map_or(String::new(), |(folder, _)| folder.replace('/', ".") + ".");
        let within = format!(".{module}");
        let find = |is: &dyn Fn(&str) -> bool| (0..self.files.len()).find(|file| is(&named(*file)));
        find(&|name| name.strip_prefix(&beside) == Some(module))
            .or_else(|| find(&|name| name == module))
            .or_else(|| find(&|name| name.ends_with(&within)))
    }

    /// Binds what `from module import *` brings from the project's own modules.
    pub(super) fn import_stars(&mut self) {
        for file in 0..self.files.len() {
            for module in self.files[file].stars.clone() {
                let Some(from) = self.file_of(&module) else { continue };
                let names: Vec<&'a str> = self.units[self.files[from].unit].locals.iter().copied().collect();
                let unit = self.files[file].unit;
                for name in names {
                    self.files[file].imports.entry(name.to_owned()).or_insert_with(|| format!("{module}.{name}"));
                    self.units[unit].locals.insert(name);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Origin;
    use crate::analysis::python::instrument::{parse, program};
    use crate::model::source::SourceFile;

    #[test]
    fn modules_of_one_name_are_told_apart_by_their_packages() {
        let file = |path: &str, text: &str| SourceFile { path: path.into(), text: text.into() };
        let files = [
            file("src/train.py", "from a.net import step\nfrom utils import top\n"),
            file("src/a/net.py", "from .utils import near\nfrom ..utils import up\nfrom . import utils\n"),
            file("src/a/utils.py", "near = {}\n"),
            file("src/utils.py", "top = {}\nup = {}\n"),
        ];
        let modules = parse("src/train.py", &files);
        let program = program(&modules);
        for (file, name, expected) in
            [(0, "top", "src/utils.py"), (1, "near", "src/a/utils.py"), (1, "up", "src/utils.py")]
        {
            let dotted = program.import(file, name).expect(name).to_owned();
            let Origin::Data { file, .. } = program.origin(&dotted) else { panic!("{name}: {dotted}") };
            assert_eq!(program.files[file].path, expected, "{name}");
        }
        assert_eq!(program.origin(program.import(1, "utils").expect("utils")), Origin::Module);
    }
}
