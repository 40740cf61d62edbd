// A compiler that stays: reads `{"source": BASE64}` by the line, answers
// `{"program": BASE64, "error": BASE64, "cpu_ms": NUMBER}`. Arguments: options of mcs.
using System;
using System.Diagnostics;
using System.Globalization;
using System.IO;
using System.Text;
using Mono.CSharp;

static class CSharpCompiler
{
    const string Source = "program.cs";
    const string Program = "program.exe";

    static void Main(string[] options)
    {
        TextWriter answers = Console.Out;
        Console.SetOut(Console.Error); // the compiler prints what it likes
        string[] command = new string[options.Length + 1];
        options.CopyTo(command, 0);
        command[options.Length] = Source;
        for (string line; (line = Console.In.ReadLine()) != null; )
        {
            TimeSpan before = Process.GetCurrentProcess().TotalProcessorTime;
            string[] parts = line.Substring(line.IndexOf(':') + 1).Split('"');
            File.WriteAllBytes(Source, Convert.FromBase64String(parts[1]));
            File.Delete(Program);
            var said = new StringWriter();
            bool isCompiled = false;
            try { isCompiled = CompilerCallableEntryPoint.InvokeCompiler(command, said); }
            catch (Exception crash) { said.WriteLine("the compiler crashed: " + crash.Message); }
            isCompiled = isCompiled && File.Exists(Program);
            string program = isCompiled ? Convert.ToBase64String(File.ReadAllBytes(Program)) : "";
            string error = isCompiled ? "" : Encoded(said.ToString());
            if (!isCompiled && error == "") error = Encoded("the compiler refused it");
            double cpu = (Process.GetCurrentProcess().TotalProcessorTime - before).TotalMilliseconds;
            answers.WriteLine("{\"program\": \"" + program + "\", \"error\": \"" + error
                + "\", \"cpu_ms\": " + cpu.ToString(CultureInfo.InvariantCulture) + "}");
            answers.Flush();
        }
    }

    static string Encoded(string text) { return Convert.ToBase64String(Encoding.UTF8.GetBytes(text)); }
}
